import { type Bus, BusError, type BusSignal } from './bus.ts';
import { asString } from './bus-values.ts';
import { manager, subscribeManager, type SystemdCalls } from './systemd-calls.ts';

/** systemd's word for how a job ended, or that no word came in time. `done` says nothing about the process. */
export type JobResult =
  | { readonly kind: 'finished'; readonly result: string }
  | { readonly kind: 'timedOut' }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * `systemctl restart UNIT`, waiting for that very job by its signal; a silent bus is a timeout, never a success.
 */
export async function restartByJob(
  bus: Bus,
  calls: SystemdCalls,
  unit: string,
  { deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal },
): Promise<JobResult> {
  // JobRemoved can arrive before the reply that names the job, so results are kept by job until we know ours.
  const results = new Map<string, string>();
  let wake: (() => void) | undefined;
  const subscription = await bus.subscribe(jobRemovedRule, (message) => {
    const job = jobRemoved(message);
    if (job === undefined) return;
    results.set(job.path, job.result);
    wake?.();
  });
  try {
    await subscribeManager(calls);
    const job = asString(await calls.ask('RestartUnit', 'ss', [unit, 'replace']));
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const result = results.get(job);
      if (result !== undefined) return { kind: 'finished', result };
      const left = deadline - performance.now();
      if (left <= 0 || signal?.aborted === true) return { kind: 'timedOut' };
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 250));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } catch (error) {
    if (error instanceof BusError) {
      return error.reason === 'timeout' || error.reason === 'closed'
        ? { kind: 'timedOut' }
        : { kind: 'refused', reason: error.message };
    }
    throw error;
  } finally {
    await subscription.close();
  }
}

const jobRemovedRule = `type='signal',sender='org.freedesktop.systemd1',path='${manager.path}',interface='${manager.interface}',member='JobRemoved'`;

function jobRemoved(signal: BusSignal): { path: string; result: string } | undefined {
  if (signal.member !== 'JobRemoved' || signal.interface !== manager.interface) return undefined;
  return { path: asString(signal.body[1]), result: asString(signal.body[3]) };
}
