import { readImageUnit } from '../../../agent/engine/observe-image.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { HostFiles } from '../../../agent/host/files.ts';
import type { Systemd, UnitPulse } from '../../../agent/host/systemd.ts';
import type { JobResult } from '../../../agent/host/systemd-job.ts';
import type { TransientTimer } from '../../../agent/host/systemd-timer.ts';
import type { LoadedUnit } from '../../../agent/plan/observed.ts';
import { missingUnit } from './missing-unit.ts';
import type { RunningClock } from './running-clock.ts';
import type { FakeProcesses } from './kubelet-process.ts';

/** How a kubelet that was started with some command line behaves. */
export interface Behaviour {
  /** It exits this long after its start; absent: it stays. */
  readonly exitsAfterMs?: number;
  /** Type=notify: it never says that it is ready. */
  readonly neverReady?: boolean;
  readonly health?: 'ok' | 'unhealthy' | 'silent' | 'off';
}

export interface FakeSystemdOptions {
  readonly files: HostFiles;
  readonly clock: RunningClock;
  readonly processes: FakeProcesses;
  readonly unit: string;
  readonly kubelet: (argv: readonly string[]) => Behaviour;
  /** Runs what a timer starts. */
  readonly runTimer: (command: readonly string[]) => Promise<void>;
}

/** Settings that are not read from the unit's text. */
export interface UnitSettings {
  readonly restartMs: number;
  readonly startTimeoutMs: number;
  readonly startLimitIntervalMs: number;
  readonly startLimitBurst: number;
}

export type Verb =
  'observe' | 'pulse' | 'reload' | 'restart' | 'resetFailed' | 'startTimer' | 'stopTimer' | 'isActive';

/** A systemd that keeps one service, behaving as facts about the real one were measured. */
export interface FakeSystemd extends Systemd {
  /** Everything that was asked of it and changes something, as systemctl would be told. */
  readonly calls: readonly string[];
  /** Reads the files and starts the service, as at boot. */
  boot(): Promise<void>;
  /** Loads the unit anew without being asked by the agent. */
  daemonReload(): Promise<void>;
  /** Somebody else restarts the service. */
  restartNow(): JobResult;
  /** Somebody stops the service. */
  stop(): void;
  settings(changed: Partial<UnitSettings>): void;
  /** Called before a verb is carried out; what it throws is the answer. */
  intercept(hook: (verb: Verb) => Promise<void> | void): void;
  /** From now on nothing is answered: every call ends with its deadline. */
  silence(silent: boolean): void;
  behaviour(): Behaviour;
  readonly timers: ReadonlyMap<string, { readonly atMs: number; readonly command: readonly string[] }>;
  /** Lets the timer of this name elapse now. */
  elapse(name: string): Promise<void>;
}

export function fakeSystemd(options: FakeSystemdOptions): FakeSystemd {
  const { files, clock, processes } = options;
  const calls: string[] = [];
  const timers = new Map<string, { atMs: number; command: readonly string[] }>();
  let own: UnitSettings = {
    restartMs: 100,
    startTimeoutMs: 90_000,
    startLimitIntervalMs: 10_000,
    startLimitBurst: 5,
  };
  let hook: (verb: Verb) => Promise<void> | void = () => undefined;
  let silent = false;
  let loaded: LoadedUnit | undefined;
  let loadedText = '';
  let active = 'inactive';
  let sub = 'dead';
  let pid = 0;
  let startedAtMs = 0;
  let invocations = 0;
  let nRestarts = 0;
  let starts: number[] = [];
  let behaviour: Behaviour = {};
  let exitAtMs: number | undefined;
  let startAtMs: number | undefined;

  const daemonReload = async (): Promise<void> => {
    const read = await readImageUnit(files, options.unit);
    const refused = read !== undefined && read.type !== 'oneshot' && read.execStart.length !== 1;
    loaded =
      read !== undefined && refused && read.loadState === 'loaded'
        ? { ...read, loadState: 'bad-setting' }
        : read;
    loadedText = await textOnDisk();
  };
  /** What systemd would read now: a text that differs from the loaded one needs a daemon-reload. */
  const textOnDisk = async (): Promise<string> => {
    const onDisk = await readImageUnit(files, options.unit);
    const paths = onDisk === undefined ? [] : [onDisk.fragmentPath, ...onDisk.dropInPaths];
    const texts = await Promise.all(
      paths.map(async (path) => [path, (await files.read(path).catch(() => undefined))?.text]),
    );
    return JSON.stringify(texts);
  };

  const end = (): void => {
    if (pid !== 0) processes.stop(pid);
    pid = 0;
    exitAtMs = undefined;
    startAtMs = undefined;
  };
  const fail = (): void => {
    end();
    [active, sub] = ['failed', 'failed'];
  };
  /** False when the start limit is hit: then the service stays down, whatever Restart= says. */
  const start = (atMs: number): boolean => {
    starts = starts.filter((earlier) => atMs - earlier < own.startLimitIntervalMs);
    if (own.startLimitBurst > 0 && starts.length >= own.startLimitBurst) {
      fail();
      return false;
    }
    starts.push(atMs);
    const [command] = loaded?.execStart ?? [];
    const argv = command?.argv ?? [];
    behaviour = options.kubelet(argv);
    invocations += 1;
    startedAtMs = clock.now();
    pid = processes.start({ argv, executable: command?.path ?? '', startedAtMs }).pid;
    [active, sub] = ['active', 'running'];
    startAtMs = undefined;
    exitAtMs = behaviour.exitsAfterMs === undefined ? undefined : atMs + behaviour.exitsAfterMs;
    return true;
  };
  const exit = (atMs: number): void => {
    end();
    if (loaded?.restart !== 'always' && loaded?.restart !== 'on-failure') {
      [active, sub] = ['failed', 'failed'];
      return;
    }
    [active, sub] = ['activating', 'auto-restart'];
    nRestarts += 1;
    startAtMs = atMs + own.restartMs;
  };
  const settle = async (): Promise<void> => {
    for (;;) {
      const nowMs = clock.monotonic();
      const due = [...timers].find(([, timer]) => timer.atMs <= nowMs);
      if (exitAtMs !== undefined && exitAtMs <= nowMs) exit(exitAtMs);
      else if (startAtMs !== undefined && startAtMs <= nowMs) start(startAtMs);
      else if (due === undefined) return;
      else await elapse(due[0]);
    }
  };
  clock.onPassed(settle);
  const elapse = async (name: string): Promise<void> => {
    const timer = timers.get(name);
    timers.delete(name);
    if (timer !== undefined) await options.runTimer(timer.command);
  };

  const restartNow = (): JobResult => {
    if (loaded?.loadState === 'masked') return { kind: 'refused', reason: `Unit ${options.unit} is masked.` };
    if (loaded?.loadState !== 'loaded')
      return { kind: 'refused', reason: `Unit ${options.unit} has a bad unit file setting.` };
    end();
    if (!start(clock.monotonic())) return { kind: 'finished', result: 'failed' };
    if (!loaded.type.startsWith('notify')) return { kind: 'finished', result: 'done' };
    if (behaviour.exitsAfterMs === 0) return { kind: 'finished', result: 'failed' };
    return behaviour.neverReady === true ? { kind: 'timedOut' } : { kind: 'finished', result: 'done' };
  };

  /** What precedes every answer: the fault of the test, silence, or time going by. */
  const asked = async (
    verb: Verb,
    told: string | undefined,
    code: 'SYSTEMD_CALL_FAILED' | 'RELOAD_FAILED' | 'WATCHDOG_NOT_ARMED',
    deadlineMs = 10_000,
  ): Promise<void> => {
    await hook(verb);
    if (silent) {
      await clock.sleep(deadlineMs);
      throw new AgentError(code, `${verb}: systemd did not answer in time`);
    }
    if (told !== undefined) calls.push(told);
  };

  return {
    calls,
    timers,
    elapse,
    restartNow,
    daemonReload,
    behaviour: () => (pid === 0 ? { health: 'off' } : behaviour),
    async boot() {
      await daemonReload();
      start(clock.monotonic());
    },
    stop() {
      end();
      [active, sub] = ['inactive', 'dead'];
    },
    settings(changed) {
      own = { ...own, ...changed };
    },
    intercept(next) {
      hook = next;
    },
    silence(next) {
      silent = next;
    },
    version: async () => Promise.resolve(252),
    async observe(unit) {
      await asked('observe', undefined, 'SYSTEMD_CALL_FAILED');
      const base = unit === options.unit ? loaded : undefined;
      if (base === undefined) return { ...missingUnit, id: unit, names: [unit] };
      const { type, restart, killMode, fragmentPath, execStartPre, environment } = base;
      return {
        ...base,
        ...own,
        activeState: active,
        subState: sub,
        mainPid: pid,
        invocationId: invocations === 0 ? '' : `${invocations}`.padStart(32, '0'),
        nRestarts,
        mainStartedAtMs: startedAtMs,
        needDaemonReload: loadedText !== (await textOnDisk()),
        settings: Object.fromEntries(
          Object.entries({ type, restart, killMode, fragmentPath, execStartPre, environment }).map(
            ([name, value]) => [name, JSON.stringify(value)],
          ),
        ),
      };
    },
    async pulse(unit): Promise<UnitPulse> {
      await asked('pulse', undefined, 'SYSTEMD_CALL_FAILED');
      if (unit !== options.unit)
        return { activeState: 'inactive', subState: 'dead', mainPid: 0, invocationId: '', nRestarts: 0 };
      return {
        activeState: active,
        subState: sub,
        mainPid: pid,
        invocationId: `${invocations}`.padStart(32, '0'),
        nRestarts,
      };
    },
    async reload() {
      await asked('reload', 'daemon-reload', 'RELOAD_FAILED', 60_000);
      await daemonReload();
    },
    async restart(unit, { deadlineMs }) {
      await hook('restart');
      if (silent) {
        await clock.sleep(deadlineMs);
        return { kind: 'timedOut' };
      }
      calls.push(`restart ${unit}`);
      const result = restartNow();
      if (result.kind !== 'timedOut') return result;
      // The process is there, and its job waits for the word that does not come.
      sub = 'start';
      active = 'activating';
      if (own.startTimeoutMs > deadlineMs) {
        await clock.sleep(deadlineMs);
        return result;
      }
      await clock.sleep(own.startTimeoutMs);
      exit(clock.monotonic());
      return { kind: 'finished', result: 'timeout' };
    },
    async resetFailed(unit) {
      await asked('resetFailed', `reset-failed ${unit}`, 'SYSTEMD_CALL_FAILED');
      starts = [];
      nRestarts = 0;
      if (active === 'failed') [active, sub] = ['inactive', 'dead'];
    },
    async startTimer(timer: TransientTimer) {
      await asked('startTimer', `start ${timer.name}.timer`, 'WATCHDOG_NOT_ARMED');
      if (timers.has(timer.name))
        throw new AgentError('WATCHDOG_NOT_ARMED', `Unit ${timer.name}.timer already exists.`);
      timers.set(timer.name, { atMs: clock.monotonic() + timer.afterMs, command: timer.command });
    },
    async stopTimer(name) {
      await asked('stopTimer', `stop ${name}.timer`, 'SYSTEMD_CALL_FAILED');
      timers.delete(name);
    },
    async isActive(unit) {
      await asked('isActive', undefined, 'SYSTEMD_CALL_FAILED');
      return unit === options.unit ? active === 'active' : timers.has(unit.replace(/\.timer$/, ''));
    },
    watch: async () => Promise.resolve({ close: async () => Promise.resolve() }),
    close: async () => Promise.resolve(),
  };
}
