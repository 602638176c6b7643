import type { TransactionEvent } from '../engine/ports.ts';
import { unreachable } from '../errors.ts';
import type { ApplyStep, RollbackStep } from '../transaction/steps.ts';
import { duration, type Page, paint, spread, wrap } from './text.ts';

/** One step of a transaction as it went; the `steps` of the JSON output. */
export interface StepRecord {
  readonly step: ApplyStep | RollbackStep;
  readonly tookMs: number | null;
  readonly code: string | null;
  readonly message: string | null;
}

/** What a person reads for each step. */
export const stepText: Readonly<Record<ApplyStep | RollbackStep, string>> = {
  stage: 'keep the old files and open the journal',
  arm: 'arm the watchdog',
  writeSysctls: 'write sysctls of the node',
  writeFiles: 'write files',
  reload: 'reload systemd',
  prove: 'prove what systemd read',
  restart: 'restart the kubelet',
  observe: 'watch the kubelet prove itself',
  commit: 'commit and disarm the watchdog',
  claim: 'take over from the watchdog',
  restoreFiles: 'put the old files back',
  restoreSysctls: 'put the old sysctls back',
  reloadOld: 'reload systemd',
  proveOld: 'prove the old command',
  restartOld: 'restart the kubelet with its old command',
  observeOld: 'watch the kubelet with its old command',
  close: 'close the journal',
};

/** The line of a step that has begun; it is written anew when the step ends. */
export function startedLine(step: ApplyStep | RollbackStep, page: Page): string {
  return paint(page, 'dim', `  ..   ${stepText[step]}`);
}

/** The lines that an event leaves for good; none for a step that has only begun. */
export function eventLines(event: TransactionEvent, page: Page): readonly string[] {
  switch (event.kind) {
    case 'waiting':
      return wrap(`${duration(event.forMs)}: ${event.why}`, page.width, '  wait ', '       ');
    case 'planned':
      return event.outcome.notes.warnings.flatMap(({ code, message }) =>
        wrap(`${code} ${message}`, page.width, '  warn ', '       '),
      );
    case 'stepStarted':
    case 'closed':
      return [];
    case 'stepFinished':
      return [
        spread(
          `${paint(page, 'green', '  ok   ')}${stepText[event.step]}`,
          duration(event.tookMs),
          page.width + (page.colour ? escapes : 0),
        ),
      ];
    case 'stepFailed':
      return [
        `${paint(page, 'red', '  fail ')}${stepText[event.step]}: ${paint(page, 'bold', event.code)}`,
        ...wrap(event.message, page.width, '       '),
      ];
    case 'auditFailed':
      return wrap(`the audit log could not be written: ${event.message}`, page.width, '  warn ', '       ');
    default:
      return unreachable(event);
  }
}

// Characters of the colour around `ok`, which take no room on the screen.
const escapes = '\u001b[32m\u001b[39m'.length;

/** The record of an event; undefined for what is no end of a step. */
export function recordOf(event: TransactionEvent): StepRecord | undefined {
  switch (event.kind) {
    case 'stepFinished':
      return { step: event.step, tookMs: Math.round(event.tookMs), code: null, message: null };
    case 'stepFailed':
      return { step: event.step, tookMs: null, code: event.code, message: event.message };
    case 'planned':
    case 'waiting':
    case 'stepStarted':
    case 'auditFailed':
    case 'closed':
      return undefined;
    default:
      return unreachable(event);
  }
}
