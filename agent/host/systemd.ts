import type { LoadedUnit } from '../plan/observed.ts';
import { type Bus, BusError } from './bus.ts';
import { asHex, asNumber, asString } from './bus-values.ts';
import {
  callOr,
  manager,
  properties,
  serviceInterface,
  subscribeManager,
  systemdCalls,
  unitInterface,
} from './systemd-calls.ts';
import { type JobResult, restartByJob } from './systemd-job.ts';
import { isActive, startTimer, stopTimer, type TransientTimer } from './systemd-timer.ts';
import { observeUnit } from './systemd-unit.ts';

/** The host's systemd, as far as the agent needs it. Each verb names the systemctl command that equals it. */
export interface Systemd {
  /** Major version, e.g. 252; undefined where systemd's answer has no number. */
  version(): Promise<number | undefined>;
  /** `systemctl show UNIT`. A unit that does not exist has loadState `not-found`. */
  observe(unit: string): Promise<LoadedUnit>;
  /** The few properties that tell whether the unit's process is still the same one and up. */
  pulse(unit: string): Promise<UnitPulse>;
  /** `systemctl daemon-reload`. @throws AgentError RELOAD_FAILED, also when no answer came in time. */
  reload(): Promise<void>;
  /** `systemctl restart UNIT`, waiting for that very job. */
  restart(unit: string, options: { deadlineMs: number; signal?: AbortSignal }): Promise<JobResult>;
  /** `systemctl reset-failed UNIT`: clears the start limit too. A unit that is not loaded has none. */
  resetFailed(unit: string): Promise<void>;
  /**
   * `systemd-run --on-active=… --unit=NAME COMMAND`: survives the caller, not a reboot. The timer runs on return.
   * @throws AgentError WATCHDOG_NOT_ARMED.
   */
  startTimer(timer: TransientTimer): Promise<void>;
  /** `systemctl stop NAME.timer`; a timer that is gone is fine. */
  stopTimer(name: string): Promise<void>;
  /** `systemctl is-active NAME`. */
  isActive(unitWithSuffix: string): Promise<boolean>;
  /** Calls back whenever systemd says that the unit changed. */
  watch(unit: string, changed: () => void): Promise<{ close(): Promise<void> }>;
  close(): Promise<void>;
}

export interface UnitPulse {
  readonly activeState: string;
  readonly subState: string;
  readonly mainPid: number;
  readonly invocationId: string;
  readonly nRestarts: number;
}

/** @param deadlineMs how long a plain question may take; reload has `reloadDeadlineMs` (it can take minutes). */
export function hostSystemd(bus: Bus, options: { deadlineMs: number; reloadDeadlineMs: number }): Systemd {
  const { deadlineMs } = options;
  const calls = systemdCalls(bus, deadlineMs);
  const { ask, unitPath, property, optional } = calls;

  return {
    observe: async (unit) =>
      callOr('SYSTEMD_CALL_FAILED', `reading ${unit} from systemd`, async () => observeUnit(calls, unit)),
    restart: async (unit, limits) => restartByJob(bus, calls, unit, limits),
    async pulse(unit) {
      return callOr('SYSTEMD_CALL_FAILED', `asking systemd about ${unit}`, async () => {
        const path = await unitPath(unit);
        return {
          activeState: asString(await property(path, unitInterface, 'ActiveState')),
          subState: asString(await property(path, unitInterface, 'SubState')),
          mainPid: asNumber(await property(path, serviceInterface, 'MainPID')),
          invocationId: asHex(await optional(path, unitInterface, 'InvocationID')),
          nRestarts: asNumber(await optional(path, serviceInterface, 'NRestarts')),
        };
      });
    },
    async version() {
      return callOr('SYSTEMD_CALL_FAILED', 'asking systemd for its version', async () => {
        const text = asString(await property(manager.path, manager.interface, 'Version'));
        const digits = /\d+/.exec(text);
        return digits === null ? undefined : Number(digits[0]);
      });
    },
    async reload() {
      await callOr('RELOAD_FAILED', 'daemon-reload', async () =>
        ask('Reload', undefined, undefined, options.reloadDeadlineMs),
      );
    },
    async resetFailed(unit) {
      await callOr('SYSTEMD_CALL_FAILED', `reset-failed ${unit}`, async () => {
        try {
          await ask('ResetFailedUnit', 's', [unit]);
        } catch (error) {
          // A stopped unit that nothing refers to is unloaded, and its counters with it.
          if (!(error instanceof BusError) || !/NoSuchUnit/.test(error.reason)) throw error;
        }
      });
    },
    startTimer: async (timer) => startTimer(calls, timer, deadlineMs),
    stopTimer: async (name) => stopTimer(calls, name),
    isActive: async (unit) => isActive(calls, unit),
    async watch(unit, changed) {
      const path = await callOr('SYSTEMD_CALL_FAILED', `watching ${unit}`, async () => unitPath(unit));
      const subscription = await bus.subscribe(
        `type='signal',sender='org.freedesktop.systemd1',path='${path}',interface='${properties}',member='PropertiesChanged'`,
        (message) => {
          if (message.path === path && message.member === 'PropertiesChanged') changed();
        },
      );
      await subscribeManager(calls);
      return subscription;
    },
    close: async () => bus.close(),
  };
}
