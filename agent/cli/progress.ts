import type { Report } from '../engine/ports.ts';
import type { CliContext } from './context.ts';
import { openLog } from './log.ts';
import type { OutputOptions } from './options.ts';
import { eventLines, recordOf, startedLine, type StepRecord } from './steps.ts';

/** Shows a transaction while it runs, and remembers its steps. */
export interface Progress {
  readonly report: Report;
  readonly steps: readonly StepRecord[];
  /** Whether any step was begun: from then on an error may have left something behind. */
  readonly began: boolean;
}

/**
 * On a terminal the running step's line is written anew when it ends; elsewhere each step leaves one plain line when
 * it ends. With JSON output standard output is kept for the one object.
 */
export async function openProgress(context: CliContext, options: OutputOptions): Promise<Progress> {
  const { stdout } = context;
  const log = await openLog(context.stderr, options.logLevel);
  const page = { width: stdout.columns, colour: stdout.colour };
  const steps: StepRecord[] = [];
  let began = false;
  let open = false;
  const show = (lines: readonly string[]): void => {
    if (options.output === 'json' || lines.length === 0) return;
    stdout.write(`${open ? '\r\u001b[K' : ''}${lines.join('\n')}\n`);
    open = false;
  };
  return {
    steps,
    get began() {
      return began;
    },
    async report(event) {
      if (event.kind === 'stepStarted') {
        began = true;
        if (stdout.isTerminal && options.output === 'text') {
          stdout.write(`${open ? '\r\u001b[K' : ''}${startedLine(event.step, page)}`);
          open = true;
        }
      }
      show(eventLines(event, page));
      const record = recordOf(event);
      if (record !== undefined) steps.push(record);
      log.event(event);
      return Promise.resolve();
    },
  };
}
