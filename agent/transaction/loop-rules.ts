import { take } from './loop-events.ts';
import { healable } from './loop-heals.ts';
import type { LoopAction, LoopEvent, LoopPosition, LoopSettings } from './loop-position.ts';

export interface LoopStep {
  readonly position: LoopPosition;
  readonly action: LoopAction;
  /** For `wait`: the latest moment at which to come back. */
  readonly untilMs: number;
}
/** One step: takes the event in and says what to do now. `roll` is a random number from 0 to 1, for the jitter. */
export function nextAction(
  position: LoopPosition,
  event: LoopEvent,
  nowMs: number,
  settings: LoopSettings,
  roll: number,
): LoopStep {
  const taken = take(position, event, nowMs, settings, roll);
  const due = (at: number | undefined): boolean => at !== undefined && at <= nowMs;
  const step = (action: LoopAction): LoopStep => ({ position: taken, action, untilMs: nowMs });
  if (due(taken.policyDueAtMs)) return step('loadPolicy');
  if (due(taken.nodeDueAtMs)) return step('lookAtNode');
  const mayApply = taken.wish === 'change' && !settings.dryRun && healable(taken, nowMs, settings).length > 0;
  if (taken.slot !== 'none' && !(mayApply && taken.needsSlot)) {
    return { position: { ...taken, slot: 'none' }, action: 'giveUpSlot', untilMs: nowMs };
  }
  if (mayApply && taken.applyNotBeforeMs <= nowMs) {
    if (!taken.needsSlot || taken.slot === 'held') return step('apply');
    if (taken.slot === 'none')
      return { position: { ...taken, slot: 'asked' }, action: 'askForSlot', untilMs: nowMs };
  }
  if (due(taken.cycleDueAtMs)) return step('lookAtSysctls');
  const moments = [
    taken.policyDueAtMs,
    taken.nodeDueAtMs,
    taken.cycleDueAtMs,
    // A moment that has passed is waited for no more: what is due then waits for a slot.
    mayApply && taken.applyNotBeforeMs > nowMs ? taken.applyNotBeforeMs : undefined,
  ];
  return {
    position: taken,
    action: 'wait',
    untilMs: Math.min(...moments.filter((moment) => moment !== undefined)),
  };
}
