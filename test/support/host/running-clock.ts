import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../../agent/host/clock.ts';

/** A clock in which a sleep is over at once, and its time has passed. */
export interface RunningClock extends Clock {
  /** Told after every piece of time that went by, before the sleeper wakes. */
  onPassed(happen: () => Promise<void>): void;
  /** Somebody sets the wall clock. */
  setWallClock(nowMs: number): void;
}

export function runningClock(startMs: number): RunningClock {
  const listeners: (() => Promise<void>)[] = [];
  let monotonicMs = 0;
  let offsetMs = startMs;
  return {
    now: () => offsetMs + monotonicMs,
    monotonic: () => monotonicMs,
    onPassed: (happen) => void listeners.push(happen),
    setWallClock(nowMs) {
      offsetMs = nowMs - monotonicMs;
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      monotonicMs += Math.max(ms, 0);
      for (const happen of listeners) await happen();
      await turn();
      signal?.throwIfAborted();
    },
  };
}
