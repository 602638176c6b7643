import { unreachable } from '../errors.ts';
import { isOpen, type TransactionState } from './steps.ts';
import type { Token } from './journal.ts';

/** What the next agent finds of a transaction that another one began. */
export interface Remains {
  readonly state: TransactionState;
  readonly token: Token;
  /** The files of the plan: all as after, all as before, or anything else. */
  readonly files: 'after' | 'before' | 'other';
  readonly restartPlanned: boolean;
  /** The kubelet is not the process that ran before the transaction. */
  readonly kubeletRestarted: boolean;
  readonly sameBoot: boolean;
}

export type Recovery =
  /** Nothing is open. */
  | 'nothing'
  /** It was decided; only the journal does not say so yet. */
  | 'closeCommitted'
  | 'closeRolledBack'
  /** The new kubelet runs: let it prove itself, then commit. */
  | 'resumeProbation'
  | 'rollBack';

/**
 * Forward only if the kubelet was restarted with the new files and can still prove itself; otherwise back.
 * The token is the truth, the journal may be one step behind it.
 */
export function recover(remains: Remains): Recovery {
  switch (remains.token) {
    case 'committed':
      return isOpen(remains.state) ? 'closeCommitted' : 'nothing';
    case 'restored':
      return isOpen(remains.state) ? 'closeRolledBack' : 'nothing';
    case 'fired':
    case 'reverting':
      return 'rollBack';
    case 'armed':
      return remains.files === 'after' &&
        remains.restartPlanned &&
        remains.kubeletRestarted &&
        remains.sameBoot
        ? 'resumeProbation'
        : 'rollBack';
    case 'none':
      // Plans without a restart never arm the watchdog; others had not touched anything yet.
      return isOpen(remains.state) ? 'rollBack' : 'nothing';
    default:
      return unreachable(remains.token);
  }
}
