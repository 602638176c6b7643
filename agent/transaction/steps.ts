import { unreachable } from '../errors.ts';

/** What the agent does to a node, in this order. Each step may be repeated; each is followed by a journal entry. */
export const applySteps = [
  'stage',
  'arm',
  'writeSysctls',
  'writeFiles',
  'reload',
  'prove',
  'restart',
  'observe',
  'commit',
] as const;

export type ApplyStep = (typeof applySteps)[number];

/** What the agent does when a step fails, is silent, or was interrupted. */
export const rollbackSteps = [
  'claim',
  'restoreFiles',
  'restoreSysctls',
  'reloadOld',
  'proveOld',
  'restartOld',
  'observeOld',
  'close',
] as const;

export type RollbackStep = (typeof rollbackSteps)[number];

/** Where a transaction stands; each name says what has happened. */
export const transactionStates = [
  'staged',
  'armed',
  'sysctlsWritten',
  'filesWritten',
  'unitReloaded',
  'unitProven',
  'kubeletRestarted',
  'kubeletProven',
  'committed',
  'reverting',
  'rolledBack',
  'broken',
] as const;

export type TransactionState = (typeof transactionStates)[number];

/** The state that a finished step leaves behind. */
export const stateAfter: Readonly<Record<ApplyStep, TransactionState>> = {
  stage: 'staged',
  arm: 'armed',
  writeSysctls: 'sysctlsWritten',
  writeFiles: 'filesWritten',
  reload: 'unitReloaded',
  prove: 'unitProven',
  restart: 'kubeletRestarted',
  observe: 'kubeletProven',
  commit: 'committed',
};

const order: readonly TransactionState[] = applySteps.map((step) => stateAfter[step]);

/** Whether the files of the plan may have been replaced: from the moment when the step before is done. */
export function filesMayBeReplaced(state: TransactionState): boolean {
  return !order.includes(state) || order.indexOf(state) >= order.indexOf('filesWritten');
}

/** An open transaction must be finished, forward or back, before another one begins. */
export function isOpen(state: TransactionState): boolean {
  return state !== 'committed' && state !== 'rolledBack';
}

/** Which of the steps a plan needs: nothing is reloaded or restarted for a plan that does not ask for it. */
export function stepsOf(plan: {
  readonly files: readonly unknown[];
  readonly sysctlWrites: readonly unknown[];
  readonly reload: boolean;
  readonly restart: boolean;
}): readonly ApplyStep[] {
  return applySteps.filter((step) => {
    switch (step) {
      case 'writeSysctls':
        return plan.sysctlWrites.length > 0;
      case 'writeFiles':
        return plan.files.length > 0;
      case 'reload':
        return plan.reload;
      case 'prove':
        // Without a reload the command must be the old one to the last word: that too is proven before the restart.
        return plan.reload || plan.restart;
      case 'arm':
      case 'restart':
      case 'observe':
        return plan.restart;
      case 'stage':
      case 'commit':
        return true;
      default:
        return unreachable(step);
    }
  });
}
