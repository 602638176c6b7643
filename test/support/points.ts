import type { TransactionEvent } from '../../agent/engine/ports.ts';
import { unreachable } from '../../agent/errors.ts';

/** A moment of a transaction by name: `before:STEP`, `after:STEP` or `failed:STEP:CODE`; undefined for other news. */
export function pointOf(event: TransactionEvent): string | undefined {
  switch (event.kind) {
    case 'stepStarted':
      return `before:${event.step}`;
    case 'stepFinished':
      return `after:${event.step}`;
    case 'stepFailed':
      return `failed:${event.step}:${event.code}`;
    case 'planned':
    case 'waiting':
    case 'auditFailed':
    case 'closed':
      return undefined;
    default:
      return unreachable(event);
  }
}
