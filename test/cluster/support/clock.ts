import type { ApiClock } from '../../../agent/cluster/api-client.ts';
import { systemClock } from '../../../agent/host/clock.ts';

/** Real time, so many times faster: what waits a second waits milliseconds, and nothing waits for nothing. */
export function hastyClock(times = 100): ApiClock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * times,
    sleep: async (ms, signal) => systemClock.sleep(ms / times, signal),
  };
}
