import type { LoadedUnit } from '../plan/observed.ts';

/** How long each part of a transaction may take, in milliseconds. */
export interface Deadlines {
  /** A plain question to systemd. */
  readonly callMs: number;
  /** daemon-reload of the whole host; systemctl itself waits 180 s for it. */
  readonly reloadMs: number;
  /** The restart job, for units that tell systemd when they are ready. */
  readonly restartMs: number;
  /** From the restart until the kubelet is well for the first time. */
  readonly graceMs: number;
  /** What the watchdog waits on top of everything above. */
  readonly watchdogSlackMs: number;
  /** Between two looks at the kubelet. */
  readonly sampleMs: number;
}

export const defaultDeadlines: Deadlines = {
  callMs: 10_000,
  reloadMs: 60_000,
  restartMs: 60_000,
  graceMs: 60_000,
  watchdogSlackMs: 15_000,
  sampleMs: 500,
};

const longestProbationMs = 30 * 60_000;
/** The start limit is cleared before our restart, so waiting for its window is a courtesy, and has an end. */
const longestStartLimitWaitMs = 10 * 60_000;

/** The policy's probation, but always longer than RestartSec, or a crash loop could hide between two starts. */
export function probationFor(policyMs: number, unit: Pick<LoadedUnit, 'restartMs'>): number {
  return Math.min(Math.max(policyMs, unit.restartMs + 1_000), longestProbationMs);
}

/** Units with Type=notify are given the time that they themselves ask for. */
export function restartDeadline(
  unit: Pick<LoadedUnit, 'type' | 'startTimeoutMs'>,
  deadlines: Deadlines,
): number {
  if (!unit.type.startsWith('notify')) return deadlines.restartMs;
  return Math.min(Math.max(deadlines.restartMs, unit.startTimeoutMs + 1_000), 5 * 60_000);
}

/** When the watchdog fires unless the transaction is committed: later than every deadline of the agent together. */
export function watchdogAfter(probationMs: number, restartMs: number, deadlines: Deadlines): number {
  return deadlines.reloadMs + restartMs + deadlines.graceMs + probationMs + deadlines.watchdogSlackMs;
}

/**
 * How long to wait so that this restart does not share a start-limit window with the last start:
 * the restart that exceeds the limit leaves a healthy kubelet stopped (systemd: start-limit-hit). At most ten minutes.
 */
export function waitForStartLimit(
  unit: Pick<LoadedUnit, 'mainStartedAtMs' | 'startLimitIntervalMs' | 'startLimitBurst'>,
  nowMs: number,
): number {
  if (unit.startLimitIntervalMs <= 0 || unit.startLimitBurst <= 0 || unit.mainStartedAtMs <= 0) return 0;
  const left = unit.mainStartedAtMs + unit.startLimitIntervalMs - nowMs;
  // A clock that was set back must not make us wait for longer than the window.
  return Math.min(Math.max(left, 0), unit.startLimitIntervalMs, longestStartLimitWaitMs);
}
