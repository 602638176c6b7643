import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ObservationPorts } from '../../../agent/engine/observe.ts';
import type { HostPorts, Report, TransactionEvent } from '../../../agent/engine/ports.ts';
import { hostFiles } from '../../../agent/host/files.ts';
import type { RunningPods } from '../../../agent/host/running-pods.ts';
import { stateDirectoryPath } from '../../../agent/host/private-files.ts';
import { hostStateDirectory } from '../../../agent/host/state-directory.ts';
import type { AuditLine } from '../../../agent/transaction/journal.ts';
import { defaultDeadlines } from '../../../agent/transaction/timing.ts';
import type { LogLine } from '../../../agent/host/unit-log.ts';
import { type Behaviour, type FakeSystemd, fakeSystemd } from './fake-systemd.ts';
import { fakeProcesses } from './kubelet-process.ts';
import { type RunningClock, runningClock } from './running-clock.ts';
import { unreachable } from '../../../agent/errors.ts';
import { pointOf } from '../points.ts';
import { type FakeSysctls, fakeSysctls } from './sysctls.ts';

interface Teardown {
  teardown(clean: () => void): void;
}

/** Real files and a real state directory below a temporary root; systemd, kubelet, kernel and time are not real. */
export interface FakeNode {
  readonly root: string;
  readonly host: HostPorts;
  readonly ports: ObservationPorts;
  readonly systemd: FakeSystemd;
  readonly sysctls: FakeSysctls;
  readonly clock: RunningClock;
  /** A report that remembers, and calls `at` before it returns. */
  report(at?: (point: string) => Promise<void> | void): Report;
  /** `before:STEP`, `after:STEP` and `failed:STEP:CODE`, in order. */
  readonly points: readonly string[];
  readonly events: readonly TransactionEvent[];
  write(file: string, text: string): void;
  read(file: string): string | undefined;
  /** How a kubelet that is started from now on behaves. */
  kubelet(behave: (argv: readonly string[]) => Behaviour): void;
  pods(pods: RunningPods): void;
  /** What the journal has of the kubelet. */
  readonly log: LogLine[];
  argv(): Promise<readonly string[]>;
  audit(): readonly AuditLine[];
  /** Files that only served a transaction and should be gone after it. */
  litter(): readonly string[];
  /** The next agent on the same node: nothing of the memory of the last one. */
  reboot(): Promise<void>;
}

export const unitFile = '/etc/systemd/system/kubelet.service';
export const unitText = `[Unit]
Description=kubelet
[Service]
ExecStart=/usr/bin/kubelet \\
  --config=/var/lib/kubelet/config.yaml \\
  --node-ip=192.0.2.10
Restart=always
[Install]
WantedBy=multi-user.target
`;
export const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';
export const unitTextAfter = unitText.replace(
  '  --node-ip=192.0.2.10\n',
  `  --node-ip=192.0.2.10 \\\n  ${flag}\n`,
);

/** Every transaction flushes some twenty times; in memory that costs nothing. */
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Why these tests cannot run here, if so: files keep their owner, which only root can see to. */
export const fakeNodeUnavailable =
  process.getuid?.() === 0 ? false : 'needs root: files are written with their owner';

export async function fakeNode(
  t: Teardown,
  options: { readonly unit?: string; readonly sysctls?: Readonly<Record<string, string>> } = {},
): Promise<FakeNode> {
  const root = realpathSync(mkdtempSync(path.join(memory, 'ksa-node-')));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const at = (file: string): string => path.join(root, file);
  const write = (file: string, text: string): void => {
    mkdirSync(path.dirname(at(file)), { recursive: true });
    writeFileSync(at(file), text);
  };
  write(unitFile, options.unit ?? unitText);
  write(
    '/var/lib/kubelet/config.yaml',
    'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n',
  );
  mkdirSync(at('/usr/bin'), { recursive: true });
  write('/usr/bin/kubelet', '\x7fELF');

  // The files are as old as they are; the kubelet started an hour later.
  const clock = runningClock(Date.now() + 3_600_000);
  const files = hostFiles(root);
  const processes = fakeProcesses();
  const sysctls = fakeSysctls(options.sysctls);
  const events: TransactionEvent[] = [];
  const points: string[] = [];
  let behave: (argv: readonly string[]) => Behaviour = () => ({});
  let pods: RunningPods = { kind: 'known', runtime: 'a test', pods: [] };

  /** The real program of the watchdog, with the paths of this root, and a systemctl that is played back afterwards. */
  const runTimer = async (command: readonly string[]): Promise<void> => {
    const [program = '', script = '', mode = ''] = command;
    const bin = mkdtempSync(path.join(tmpdir(), 'ksa-systemctl-'));
    const log = path.join(bin, 'log');
    writeFileSync(path.join(bin, 'systemctl'), playedBack, { mode: 0o755 });
    writeFileSync(log, '');
    const text = readFileSync(at(script), 'utf8')
      .replaceAll(/'\/(etc|var|proc)\//g, `'${root}/$1/`)
      .replace('PATH=', `PATH=${bin}:`);
    const pulse = await systemd.pulse('kubelet.service');
    const ended = spawnSync(program, ['-c', text, script, mode], {
      encoding: 'utf8',
      env: { LOG: log, INVOCATION: pulse.invocationId, ACTIVE: pulse.activeState },
    });
    if (ended.status !== 0) throw new Error(`the watchdog ended with ${ended.status}: ${ended.stderr}`);
    for (const line of readFileSync(log, 'utf8').split('\n')) {
      if (line === 'daemon-reload') await systemd.daemonReload();
      if (line.startsWith('restart ')) systemd.restartNow();
    }
    rmSync(bin, { recursive: true });
  };
  const systemd: FakeSystemd = fakeSystemd({
    files,
    clock,
    processes,
    unit: 'kubelet.service',
    kubelet: (argv) => behave(argv),
    runTimer,
  });
  await systemd.boot();
  await clock.sleep(3_600_000);

  const healthz: ObservationPorts['healthz'] = async () => {
    const { health = 'ok' } = systemd.behaviour();
    switch (health) {
      case 'ok':
        return Promise.resolve({ kind: 'ok' });
      case 'unhealthy':
        return Promise.resolve({ kind: 'unhealthy', status: 500, body: 'no' });
      case 'silent':
        return Promise.resolve({ kind: 'timedOut' });
      case 'off':
        return Promise.resolve({ kind: 'off', reason: 'connect ECONNREFUSED' });
      default:
        return unreachable(health);
    }
  };
  const identity = { pid: process.pid, bootId: 'boot-1', startTicks: '1', isAlive: () => true };
  const log: LogLine[] = [];
  const host: HostPorts & { bootId: string } = {
    files,
    systemd,
    sysctls,
    clock,
    state: await hostStateDirectory(root, identity),
    kubelet: {
      process: async (pid) => Promise.resolve(processes.read(pid)),
      healthz,
      log: async () => Promise.resolve(log),
    },
    deadlines: defaultDeadlines,
    bootId: 'boot-1',
  };

  return {
    root,
    host,
    log,
    systemd,
    sysctls,
    clock,
    events,
    points,
    ports: {
      files,
      systemd,
      sysctls,
      process: processes.read,
      kubeletVersion: async () => Promise.resolve('Kubernetes v1.32.1'),
      kernelRelease: () => '6.1.0',
      healthz,
      runningPods: async () => Promise.resolve(pods),
    },
    report: (happen) => async (event) => {
      events.push(event);
      const point = pointOf(event);
      if (point === undefined) return;
      points.push(point);
      await happen?.(point);
    },
    write,
    read: (file) => (existsSync(at(file)) ? readFileSync(at(file), 'utf8') : undefined),
    kubelet(next) {
      behave = next;
    },
    pods(next) {
      pods = next;
    },
    async argv() {
      return processes.read((await systemd.pulse('kubelet.service')).mainPid)?.argv ?? [];
    },
    audit() {
      const file = at(`${stateDirectoryPath}/audit.jsonl`);
      if (!existsSync(file)) return [];
      return readFileSync(file, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as AuditLine);
    },
    litter() {
      const names = readdirSync(at('/etc'), { recursive: true, encoding: 'utf8' }).filter((name) =>
        /sysctl-agent|\.tmp$/.test(name),
      );
      const tokens = readdirSync(at(stateDirectoryPath), { recursive: true, encoding: 'utf8' }).filter(
        (name) => /\/(armed|fired|reverting)$|\.tmp$/.test(name),
      );
      return [...names, ...tokens, ...systemd.timers.keys()];
    },
    async reboot() {
      host.bootId = 'boot-2';
      systemd.stop();
      for (const name of systemd.timers.keys()) await systemd.stopTimer(name);
      await systemd.boot();
    },
  };
}

const playedBack = `#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
  "show -p InvocationID "*) echo "InvocationID=$INVOCATION" ;;
  "-q is-active "*) [ "$ACTIVE" = active ] ;;
esac
`;
