import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../../agent/host/clock.ts';

/** A clock that stands still until told otherwise. */
export interface FakeClock extends Clock {
  /**
   * Lets `ms` pass: wakes every sleeper in the order of its end, at its very moment, and lets each one run (and
   * sleep again) before time goes on.
   */
  advance(ms: number): Promise<void>;
  /** Somebody sets the wall clock; monotonic time does not notice. */
  setWallClock(nowMs: number): void;
  /** How many sleepers wait right now. */
  sleepers(): number;
}

interface Sleeper {
  readonly endMs: number;
  readonly wake: () => void;
}

export function fakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let monotonicMs = 0;
  let offsetMs = startMs;
  const sleepers = new Set<Sleeper>();

  return {
    now: () => offsetMs + monotonicMs,
    monotonic: () => monotonicMs,
    sleepers: () => sleepers.size,
    setWallClock(nowMs) {
      offsetMs = nowMs - monotonicMs;
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      if (ms <= 0) return;
      await new Promise<void>((resolve, reject) => {
        const aborted = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason as Error);
        };
        const sleeper: Sleeper = {
          endMs: monotonicMs + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', aborted);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', aborted, { once: true });
      });
    },
    async advance(ms) {
      const target = monotonicMs + ms;
      await turn();
      for (;;) {
        const next = [...sleepers]
          .filter((sleeper) => sleeper.endMs <= target)
          .sort((a, b) => a.endMs - b.endMs)[0];
        if (next === undefined) break;
        monotonicMs = Math.max(monotonicMs, next.endMs);
        next.wake();
        await turn();
      }
      monotonicMs = target;
    },
  };
}
