import type { LoopLog } from '../engine/loop-ports.ts';
import type { Sink } from './context.ts';
import type { LogLevel } from './options.ts';

/** The log of `run`: JSON lines, one for each decision. The logger is only loaded where something is to be written. */
export async function openLoopLog(sink: Sink, level: LogLevel): Promise<LoopLog> {
  if (level === 'silent') return () => undefined;
  const { pino } = await import('pino');
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => sink.write(line) },
  );
  return (at, event, fields, message) => {
    logger[at]({ event, ...fields }, message);
  };
}
