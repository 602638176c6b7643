import { AgentError } from '../errors.ts';
import type { EnvironmentFileRef, LoadedCommand, LoadedUnit } from '../plan/observed.ts';
import { type Bus, BusError, type BusSignal } from './bus.ts';
import { asArray, asHex, asMilliseconds, asNumber, asString, asStrings, canonical } from './bus-values.ts';

/** systemd's word for how a job ended, or that no word came in time. `done` says nothing about the process. */
export type JobResult =
  | { readonly kind: 'finished'; readonly result: string }
  | { readonly kind: 'timedOut' }
  | { readonly kind: 'refused'; readonly reason: string };

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

export interface TransientTimer {
  /** Without suffix. */
  readonly name: string;
  readonly description: string;
  readonly afterMs: number;
  readonly command: readonly string[];
}

const manager = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
} as const;
const properties = 'org.freedesktop.DBus.Properties';
const unitInterface = 'org.freedesktop.systemd1.Unit';
const serviceInterface = 'org.freedesktop.systemd1.Service';

/**
 * Settings that an edit of ExecStart must leave alone, compared before and after (design: promise 2).
 * A closed list: a property that systemd adds one day must not make a good edit look bad.
 */
const guardedSettings: Readonly<Record<string, readonly string[]>> = {
  [unitInterface]: [
    // Not the dependencies: a reload also takes in other units' edits, which may add to ours from their side.
    'Names',
    'OnFailure',
    'Description',
    'FragmentPath',
    'StartLimitBurst',
    'StartLimitIntervalUSec',
    'StartLimitAction',
    'DefaultDependencies',
  ],
  [serviceInterface]: [
    'Type',
    'Restart',
    'RestartUSec',
    'TimeoutStartUSec',
    'TimeoutStopUSec',
    'WatchdogUSec',
    'PIDFile',
    'NotifyAccess',
    'RemainAfterExit',
    'GuessMainPID',
    'KillMode',
    'KillSignal',
    'SendSIGKILL',
    'User',
    'Group',
    'WorkingDirectory',
    'RootDirectory',
    'Environment',
    'EnvironmentFiles',
    'PassEnvironment',
    'UMask',
    'Slice',
    'Delegate',
    'OOMScoreAdjust',
    'CPUAccounting',
    'MemoryAccounting',
    'LimitNOFILE',
    'LimitNPROC',
    'LimitCORE',
    'StandardOutput',
    'StandardError',
    'CapabilityBoundingSet',
    'MountFlags',
    'ProtectSystem',
    'PrivateTmp',
    'SuccessExitStatus',
    'RestartPreventExitStatus',
  ],
};
const guardedCommands = [
  'ExecStartPre',
  'ExecStartPost',
  'ExecReload',
  'ExecStop',
  'ExecStopPost',
  'ExecCondition',
] as const;

/** @param deadlineMs how long a plain question may take; reload has `reloadDeadlineMs` (it can take minutes). */
export function hostSystemd(bus: Bus, options: { deadlineMs: number; reloadDeadlineMs: number }): Systemd {
  const { deadlineMs } = options;

  const ask = async (
    member: string,
    signature?: string,
    body?: readonly unknown[],
    ms = deadlineMs,
  ): Promise<unknown> =>
    bus.call(
      { ...manager, member, ...(signature === undefined ? {} : { signature, body: body ?? [] }) },
      { deadlineMs: ms },
    );

  const unitPath = async (unit: string): Promise<string> => asString(await ask('LoadUnit', 's', [unit]));

  const property = async (path: string, iface: string, name: string): Promise<unknown> =>
    bus.call(
      {
        destination: manager.destination,
        path,
        interface: properties,
        member: 'Get',
        signature: 'ss',
        body: [iface, name],
      },
      { deadlineMs },
    );

  /** undefined where this systemd does not know the property. */
  const optional = async (path: string, iface: string, name: string): Promise<unknown> => {
    try {
      return await property(path, iface, name);
    } catch (error) {
      if (error instanceof BusError && /UnknownProperty|UnknownInterface|InvalidArgs/.test(error.reason))
        return undefined;
      throw error;
    }
  };

  const isActive = async (unit: string): Promise<boolean> =>
    callOr(
      'SYSTEMD_CALL_FAILED',
      `asking whether ${unit} is active`,
      async () => (await property(await unitPath(unit), unitInterface, 'ActiveState')) === 'active',
    );

  const observe = async (unit: string): Promise<LoadedUnit> => {
    const path = await unitPath(unit);
    const u = async (name: string): Promise<unknown> => optional(path, unitInterface, name);
    const s = async (name: string): Promise<unknown> => optional(path, serviceInterface, name);
    return {
      id: asString(await u('Id')),
      names: asStrings(await u('Names')),
      loadState: asString(await u('LoadState')),
      loadError: asStrings(await u('LoadError'))
        .filter((part) => part !== '')
        .join(': '),
      activeState: asString(await u('ActiveState')),
      subState: asString(await u('SubState')),
      fragmentPath: asString(await u('FragmentPath')),
      dropInPaths: asStrings(await u('DropInPaths')),
      needDaemonReload: (await u('NeedDaemonReload')) === true,
      unitFileState: asString(await u('UnitFileState')),
      invocationId: asHex(await u('InvocationID')),
      jobQueued: asNumber(asArray(await u('Job'))[0]) !== 0,
      startLimitBurst: asNumber(await u('StartLimitBurst')),
      startLimitIntervalMs: asMilliseconds(await u('StartLimitIntervalUSec')),
      type: asString(await s('Type')),
      restart: asString(await s('Restart')),
      restartMs: asMilliseconds(await s('RestartUSec')),
      startTimeoutMs: asMilliseconds(await s('TimeoutStartUSec')),
      killMode: asString(await s('KillMode')),
      mainPid: asNumber(await s('MainPID')),
      nRestarts: asNumber(await s('NRestarts')),
      mainStartedAtMs: asMilliseconds(await s('ExecMainStartTimestamp')),
      execStart: await commands(s, 'ExecStart'),
      execStartPre: await commands(s, 'ExecStartPre'),
      execStop: await commands(s, 'ExecStop'),
      execStopPost: await commands(s, 'ExecStopPost'),
      environment: asStrings(await s('Environment')),
      environmentFiles: asArray(await s('EnvironmentFiles')).map(environmentFile),
      settings: await settings(path, s),
    };
  };

  const settings = async (
    path: string,
    service: (name: string) => Promise<unknown>,
  ): Promise<Record<string, string>> => {
    const found: Record<string, string> = {};
    for (const [iface, names] of Object.entries(guardedSettings)) {
      for (const name of names) {
        const value = await optional(path, iface, name);
        if (value !== undefined) found[name] = canonical(value);
      }
    }
    for (const name of guardedCommands) found[name] = canonical(await commands(service, name));
    return found;
  };

  const resultOfJob = async (
    unit: string,
    { deadlineMs: jobDeadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal },
  ): Promise<JobResult> => {
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
      await subscribeManager(ask);
      const job = asString(await ask('RestartUnit', 'ss', [unit, 'replace']));
      const deadline = performance.now() + jobDeadlineMs;
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
  };

  return {
    observe: async (unit) =>
      callOr('SYSTEMD_CALL_FAILED', `reading ${unit} from systemd`, async () => observe(unit)),
    restart: resultOfJob,
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
    async startTimer(timer) {
      const units = [`${timer.name}.timer`, `${timer.name}.service`];
      await callOr('WATCHDOG_NOT_ARMED', `starting the timer ${timer.name}`, async () =>
        eventually(deadlineMs, async () => {
          try {
            await ask('StartTransientUnit', 'ssa(sv)a(sa(sv))', [
              `${timer.name}.timer`,
              'replace',
              timerProperties(timer),
              [[`${timer.name}.service`, serviceProperties(timer)]],
            ]);
          } catch (error) {
            if (!(error instanceof BusError) || !/UnitExists/.test(error.reason)) throw error;
            // An earlier one that systemd has not let go of yet, or that failed and is kept for a person to see.
            for (const unit of units) await ask('ResetFailedUnit', 's', [unit]).catch(() => undefined);
            return false;
          }
          return true;
        }),
      );
      if (!(await eventually(deadlineMs, async () => isActive(`${timer.name}.timer`)))) {
        throw new AgentError(
          'WATCHDOG_NOT_ARMED',
          `systemd took the timer ${timer.name} but does not run it`,
        );
      }
    },
    async stopTimer(name) {
      try {
        await ask('StopUnit', 'ss', [`${name}.timer`, 'replace']);
      } catch (error) {
        if (!(error instanceof BusError) || !/NoSuchUnit/.test(error.reason)) {
          throw new AgentError('SYSTEMD_CALL_FAILED', `stopping the timer ${name}: ${String(error)}`, {
            cause: error,
          });
        }
      }
    },
    isActive,
    async watch(unit, changed) {
      const path = await callOr('SYSTEMD_CALL_FAILED', `watching ${unit}`, async () => unitPath(unit));
      const subscription = await bus.subscribe(
        `type='signal',sender='org.freedesktop.systemd1',path='${path}',interface='${properties}',member='PropertiesChanged'`,
        (message) => {
          if (message.path === path && message.member === 'PropertiesChanged') changed();
        },
      );
      await subscribeManager(ask);
      return subscription;
    },
    close: async () => bus.close(),
  };
}

const jobRemovedRule = `type='signal',sender='org.freedesktop.systemd1',path='${manager.path}',interface='${manager.interface}',member='JobRemoved'`;

function jobRemoved(signal: BusSignal): { path: string; result: string } | undefined {
  if (signal.member !== 'JobRemoved' || signal.interface !== manager.interface) return undefined;
  return { path: asString(signal.body[1]), result: asString(signal.body[3]) };
}

/** systemd sends its signals only to clients that asked; asking twice on one connection is answered with an error. */
async function subscribeManager(ask: (member: string) => Promise<unknown>): Promise<void> {
  try {
    await ask('Subscribe');
  } catch (error) {
    if (!(error instanceof BusError) || !/AlreadySubscribed/.test(error.reason)) throw error;
  }
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

async function commands(
  service: (name: string) => Promise<unknown>,
  name: string,
): Promise<readonly LoadedCommand[]> {
  const extended = await service(`${name}Ex`);
  if (extended !== undefined) {
    return asArray(extended).map((row) => {
      const [path, argv, flags] = asArray(row);
      return { path: asString(path), argv: asStrings(argv), flags: asStrings(flags) };
    });
  }
  return asArray(await service(name)).map((row) => {
    const [path, argv, ignore] = asArray(row);
    return { path: asString(path), argv: asStrings(argv), flags: ignore === true ? ['ignore-failure'] : [] };
  });
}

function environmentFile(row: unknown): EnvironmentFileRef {
  const [path, isOptional] = asArray(row);
  return { path: asString(path), optional: isOptional === true };
}

async function callOr<T>(
  code: 'SYSTEMD_CALL_FAILED' | 'RELOAD_FAILED' | 'WATCHDOG_NOT_ARMED',
  what: string,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof BusError) {
      throw new AgentError(
        code,
        `${what}: ${cause.reason === 'timeout' ? 'systemd did not answer in time' : cause.message}`,
        { cause },
      );
    }
    throw cause;
  }
}
