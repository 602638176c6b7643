import { setTimeout as delay } from 'node:timers/promises';

/** Time, as everything that waits or stamps sees it. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch; jumps when somebody sets it. */
  now(): number;
  /** Milliseconds since some fixed moment; never goes back. */
  monotonic(): number;
  /** Resolves after at least `ms` of monotonic time. @throws the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The only home of Date.now and timers for the engine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    const end = performance.now() + ms;
    signal?.throwIfAborted();
    // In a loop: Node's timers may fire up to a millisecond early, and fire at once beyond 2^31 - 1 ms.
    for (let left = ms; left > 0; left = end - performance.now()) {
      await waitAtMostLongestTimer(left, signal);
    }
  },
};

const longestTimerMs = 2 ** 31 - 1;

async function waitAtMostLongestTimer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(Math.min(Math.ceil(ms), longestTimerMs), undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    // timers/promises wraps the reason in an AbortError of its own.
    signal?.throwIfAborted();
    throw error;
  }
}
