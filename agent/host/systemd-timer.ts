import { AgentError } from '../errors.ts';
import { BusError } from './bus.ts';
import { callOr, type SystemdCalls, unitInterface } from './systemd-calls.ts';

export interface TransientTimer {
  /** Without suffix. */
  readonly name: string;
  readonly description: string;
  readonly afterMs: number;
  readonly command: readonly string[];
}

/**
 * `systemd-run --on-active=… --unit=NAME COMMAND`; the timer runs on return.
 * @throws AgentError WATCHDOG_NOT_ARMED.
 */
export async function startTimer(
  calls: SystemdCalls,
  timer: TransientTimer,
  deadlineMs: number,
): Promise<void> {
  const units = [`${timer.name}.timer`, `${timer.name}.service`];
  const taken = await callOr('WATCHDOG_NOT_ARMED', `starting the timer ${timer.name}`, async () =>
    eventually(deadlineMs, async () => {
      try {
        await calls.ask('StartTransientUnit', 'ssa(sv)a(sa(sv))', [
          `${timer.name}.timer`,
          'replace',
          timerProperties(timer),
          [[`${timer.name}.service`, serviceProperties(timer)]],
        ]);
      } catch (error) {
        if (!(error instanceof BusError) || !/UnitExists/.test(error.reason)) throw error;
        // An earlier one that systemd has not let go of yet, or that failed and is kept for a person to see.
        for (const unit of units) await calls.ask('ResetFailedUnit', 's', [unit]).catch(() => undefined);
        return false;
      }
      return true;
    }),
  );
  if (!taken) {
    // An active timer of that name would run somebody else's command.
    throw new AgentError('WATCHDOG_NOT_ARMED', `another timer named ${timer.name} does not go away`);
  }
  if (!(await eventually(deadlineMs, async () => isActive(calls, `${timer.name}.timer`)))) {
    throw new AgentError('WATCHDOG_NOT_ARMED', `systemd took the timer ${timer.name} but does not run it`);
  }
}

/** `systemctl stop NAME.timer`; a timer that is gone is fine. */
export async function stopTimer({ ask }: SystemdCalls, name: string): Promise<void> {
  try {
    await ask('StopUnit', 'ss', [`${name}.timer`, 'replace']);
  } catch (error) {
    if (!(error instanceof BusError) || !/NoSuchUnit/.test(error.reason)) {
      throw new AgentError('SYSTEMD_CALL_FAILED', `stopping the timer ${name}: ${String(error)}`, {
        cause: error,
      });
    }
  }
}

/** `systemctl is-active UNIT`. @throws AgentError SYSTEMD_CALL_FAILED. */
export async function isActive({ unitPath, property }: SystemdCalls, unit: string): Promise<boolean> {
  return callOr(
    'SYSTEMD_CALL_FAILED',
    `asking whether ${unit} is active`,
    async () => (await property(await unitPath(unit), unitInterface, 'ActiveState')) === 'active',
  );
}

/** Only what every systemd since 219 takes: TimersMonotonic is newer than its short form OnActiveSec. */
function timerProperties(timer: TransientTimer): unknown[] {
  return [
    ['Description', ['s', timer.description]],
    ['OnActiveSec', ['t', BigInt(Math.ceil(timer.afterMs)) * 1000n]],
    ['AccuracyUSec', ['t', 100_000n]],
    ['RemainAfterElapse', ['b', false]],
  ];
}

function serviceProperties(timer: TransientTimer): unknown[] {
  const [program = ''] = timer.command;
  return [
    ['Description', ['s', timer.description]],
    ['ExecStart', ['a(sasb)', [[program, [...timer.command], false]]]],
    // A disk that is full now may not be full in a moment; five seconds stay below any start limit.
    ['Restart', ['s', 'on-failure']],
    ['RestartUSec', ['t', 5_000_000n]],
  ];
}

/** Asks again every 50 ms; systemd's jobs and its garbage collection run after its replies. */
async function eventually(deadlineMs: number, attempt: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    if (await attempt()) return true;
    if (performance.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
