import type { LoopPulse } from './loop.ts';

export interface LoopHealth {
  readonly alive: { readonly ok: boolean; readonly message: string };
  readonly ready: { readonly ok: boolean; readonly message: string };
}

// A look asks systemd about a hundred times, each with a deadline; past this it is no longer waiting but stuck.
const longestLookMs = 5 * 60_000;
// Start limit, reload, restart, grace, half an hour of probation, and all of it again for a roll-back.
const longestApplyMs = 90 * 60_000;
// How late a timer may be on a machine that swaps.
const longestDelayMs = 2 * 60_000;

/**
 * Dead only when the loop is stuck: restarting the agent would help then, and at no other time. Not ready when the
 * node cannot be seen. `cycleMs` is the longest that a healthy loop waits.
 */
export function loopHealth(pulse: LoopPulse, nowMs: number, cycleMs: number): LoopHealth {
  const forMs = nowMs - pulse.sinceMs;
  const longest =
    { apply: longestApplyMs, wait: cycleMs + longestDelayMs }[pulse.action as string] ?? longestLookMs;
  const stuck = forMs > longest;
  return {
    alive: {
      ok: !stuck,
      message: stuck ? `stuck in ${pulse.action} for ${Math.round(forMs / 1000)} s` : 'ok',
    },
    ready: { ok: pulse.sees, message: pulse.sees ? 'ok' : 'the node was not seen' },
  };
}
