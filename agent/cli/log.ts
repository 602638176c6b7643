import type { TransactionEvent } from '../engine/ports.ts';
import { unreachable } from '../errors.ts';
import type { Sink } from './context.ts';
import type { LogLevel } from './options.ts';

/** The log of the command line: JSON lines on standard error. */
export interface Log {
  event(event: TransactionEvent): void;
}

/** Loads the logger only where its level lets anything of a transaction through. */
export async function openLog(sink: Sink, level: LogLevel): Promise<Log> {
  if (level === 'silent' || level === 'error') return { event: () => undefined };
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
  return {
    event(event) {
      switch (event.kind) {
        case 'planned':
          logger.debug({ event: event.kind, outcome: event.outcome.kind }, 'planned');
          return;
        case 'waiting':
          logger.info({ event: event.kind, forMs: event.forMs }, event.why);
          return;
        case 'stepStarted':
          logger.debug({ event: event.kind, step: event.step }, 'step started');
          return;
        case 'stepFinished':
          logger.info(
            { event: event.kind, step: event.step, tookMs: Math.round(event.tookMs) },
            'step finished',
          );
          return;
        case 'stepFailed':
          logger.warn({ event: event.kind, step: event.step, code: event.code }, event.message);
          return;
        case 'auditFailed':
          logger.warn({ event: event.kind }, event.message);
          return;
        case 'closed':
          logger.info(
            { event: event.kind, transaction: event.journal.id, state: event.journal.state },
            'transaction closed',
          );
          return;
        default:
          unreachable(event);
      }
    },
  };
}
