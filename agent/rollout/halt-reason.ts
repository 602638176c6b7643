import type { SlotDemand, SlotMove } from './slot-rules.ts';

/** Why a rollout has stopped, in a sentence that names the nodes that failed. */
export function haltReason(
  { policy, failed }: Extract<SlotMove, { kind: 'halt' }>,
  { maxFailed, maxUnavailable }: Pick<SlotDemand, 'maxFailed' | 'maxUnavailable'>,
): string {
  const names = failed
    .map(({ holder, failure }) => `${holder} (${failure ?? 'failed'})`)
    .sort()
    .join(', ');
  if (failed.length <= maxFailed) {
    return `no slot of policy ${policy} is left (maxUnavailable: ${maxUnavailable}): these failed and keep theirs: ${names}`;
  }
  const bears =
    maxFailed === 0 ? 'no failed node' : `${maxFailed} failed ${maxFailed === 1 ? 'node' : 'nodes'}`;
  return `the rollout of policy ${policy} bears ${bears}, and these failed: ${names}`;
}
