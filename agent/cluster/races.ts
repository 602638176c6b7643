import type { ApiClock } from './api-client.ts';

/** Waits for the work. @throws the signal's reason as soon as it is aborted; the work itself goes on. */
export async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Waits for the work or the time, whichever is first. @throws the signal's reason when aborted. */
export async function firstOf(
  work: Promise<void>,
  clock: ApiClock,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  try {
    await Promise.race([work, clock.sleep(ms, AbortSignal.any([signal, stop.signal]))]);
  } finally {
    stop.abort(new Error('no longer needed'));
  }
}
