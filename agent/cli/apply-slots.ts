import { unlessAborted } from '../cluster/races.ts';
import type { SlotConnection } from '../cluster/connect-slots.ts';
import type { ApplyOutcome, ApplyRequest } from '../engine/apply.ts';
import { isWell } from '../engine/loop-look.ts';
import type { NodePolicy } from '../policy/merge.ts';

/** Waits for a slot of every policy; a halted rollout refuses the change. `tell` gets the one line about the wait. */
export function permitBySlot(
  { gate }: SlotConnection,
  policy: NodePolicy,
  signal: AbortSignal,
  tell: (line: string) => void,
): NonNullable<ApplyRequest['permit']> {
  return async (plan, planHash) => {
    const { rollout, names: policies } = policy;
    tell(`Waiting for a slot: at most ${rollout.maxUnavailable} at risk for ${policies.join(', ')}.`);
    const { maxUnavailable, maxFailed } = rollout;
    const request = { unit: plan.unit, planHash, maxUnavailable, maxFailed, policies };
    const grant = await gate.acquire(request, signal).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      throw error;
    });
    if (grant === undefined)
      return [{ code: 'INTERRUPTED', message: 'stopped by a signal in the wait for a slot' }];
    if (grant.kind === 'granted') return [];
    return [
      {
        code: 'ROLLOUT_HALTED',
        message: grant.reason,
        next: `look at ${grant.by} first; applying there with success, or deleting its Lease, lets the rollout go on`,
      },
    ];
  };
}

/** Frees the slot or marks it failed, and waits until the API server knows, or until a signal says that nobody waits. */
export async function settleSlot(
  { gate }: SlotConnection,
  outcome: ApplyOutcome,
  signal: AbortSignal,
): Promise<void> {
  // As for an agent that looks: only a kubelet that is well ends a failure.
  const isProven = outcome.kind !== 'converged' || isWell(outcome.planned);
  await gate.settle(isProven ? outcome.kind : 'refused');
  if (!signal.aborted) await unlessAborted(gate.settled(), signal).catch(() => undefined);
}
