import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { LoopPorts } from './engine/loop-ports.ts';
import type { ObservationPorts } from './engine/observe.ts';
import type { HostPorts } from './engine/ports.ts';
import { AgentError } from './errors.ts';
import { connectBus } from './host/bus.ts';
import { systemClock } from './host/clock.ts';
import type { Commands } from './host/commands.ts';
import { driftFile } from './host/drift-file.ts';
import { watchFiles } from './host/file-watch.ts';
import { hostFiles } from './host/files.ts';
import { resolveInRoot } from './host/resolve-in-root.ts';
import { probeHealthz } from './host/healthz.ts';
import { kernelRelease, kubeletVersion, readProcess } from './host/kubelet-process.ts';
import { readPodSysctls } from './host/pod-namespaces.ts';
import { selinuxRelabel } from './host/relabel.ts';
import { readRunningPods } from './host/running-pods.ts';
import { hostStateDirectory } from './host/state-directory.ts';
import { hostSysctls } from './host/sysctls.ts';
import { hostSystemd } from './host/systemd.ts';
import { readUnitLog } from './host/unit-log.ts';
import { watchUnit } from './host/unit-watch.ts';
import { type Deadlines, defaultDeadlines } from './transaction/timing.ts';

export interface NodeOptions {
  /** The host's root as it is mounted here, or an image. */
  readonly root: string;
  readonly deadlines?: Deadlines;
  /** For as long as the node is up: keeps the bus connection, and keeps memory small. */
  readonly longRunning?: boolean;
}

/** A node to look at and, where a systemd runs on it, to change. */
export interface NodeConnection {
  readonly observation: ObservationPorts;
  /** Opens the state directory. @throws AgentError STATE_DIRECTORY_UNSAFE, or SYSTEMD_UNREACHABLE for an image. */
  transactions(): Promise<HostPorts>;
  /** What only the long-running agent needs. */
  readonly watching: WatchingPorts;
  close(): Promise<void>;
}

/** Adapters of `run`; without a systemd `watchUnit` throws SYSTEMD_UNREACHABLE. */
export type WatchingPorts = Pick<LoopPorts, 'watchFiles' | 'watchUnit' | 'podSysctls' | 'kept'>;

/**
 * The one place where adapters are built. A root without a running systemd is an image: files only.
 * @throws AgentError SYSTEMD_UNREACHABLE where systemd runs but its bus does not answer.
 */
export async function connectNode(options: NodeOptions): Promise<NodeConnection> {
  const { root } = options;
  const deadlines = options.deadlines ?? defaultDeadlines;
  const commands = await commandsFor(options);
  const files = hostFiles(root, selinuxRelabel(commands, root));
  const sysctls = hostSysctls({ commands, procDir: hostProc(root) });
  const bus = (await isBooted(root))
    ? await connectBus(await resolveInRoot(root, '/run/dbus/system_bus_socket'), {
        deadlineMs: deadlines.callMs,
        reconnect: options.longRunning ?? false,
      })
    : undefined;
  const systemd =
    bus === undefined
      ? undefined
      : hostSystemd(bus, { deadlineMs: deadlines.callMs, reloadDeadlineMs: deadlines.reloadMs });

  return {
    observation: {
      files,
      systemd,
      sysctls,
      process: readProcess,
      kubeletVersion: async (executable, argvPrefix) =>
        kubeletVersion(commands, { executable, argvPrefix, root }),
      kernelRelease,
      healthz: async (address, port) => probeHealthz({ address, port, deadlineMs: 2_000 }),
      runningPods: async () => readRunningPods({ root }),
    },
    async transactions() {
      if (systemd === undefined)
        throw new AgentError('SYSTEMD_UNREACHABLE', `no systemd runs under ${root}`, {
          next: 'an image has no transactions to take back: take entries out with existing: Remove',
        });
      const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      return {
        files,
        systemd,
        sysctls,
        kubelet: {
          process: async (pid) => Promise.resolve(readProcess(pid)),
          log: async (unit, sinceMs) => readUnitLog(commands, { unit, sinceMs, root }),
          healthz: async (address, port) => probeHealthz({ address, port, deadlineMs: 2_000 }),
        },
        state: await hostStateDirectory(root, identity(bootId)),
        clock: systemClock,
        deadlines,
        bootId,
      };
    },
    watching: {
      watchFiles,
      async watchUnit(unit, noticed) {
        if (bus === undefined) throw new AgentError('SYSTEMD_UNREACHABLE', `no systemd runs under ${root}`);
        return watchUnit(bus, unit, noticed, { deadlineMs: deadlines.callMs });
      },
      podSysctls: async (pods) => readPodSysctls(pods, { commands }),
      kept: driftFile(root),
    },
    close: async () => systemd?.close(),
  };
}

async function commandsFor({ longRunning }: NodeOptions): Promise<Commands> {
  return longRunning === true
    ? (await import('./host/spawn-commands.ts')).spawnCommands
    : (await import('./host/commands.ts')).systemCommands;
}

/**
 * The host's procfs where it is mounted with the host's root: in a container without `privileged` that one can be
 * written and our own `/proc/sys` cannot. Whose namespaces a value is read in does not depend on the mount.
 */
function hostProc(root: string): string {
  const mounted = path.join(root, 'proc');
  return existsSync(path.join(mounted, '1', 'ns')) ? mounted : '/proc';
}

/** sd_booted(3): the directory that only a running systemd makes. The machine's own root must have one. */
async function isBooted(root: string): Promise<boolean> {
  if (existsSync(await resolveInRoot(root, '/run/systemd/system'))) return true;
  if (path.resolve(root) !== '/') return false;
  throw new AgentError('SYSTEMD_UNREACHABLE', 'this machine was not booted with systemd', {
    next: "in a pod, mount the host's root and name it with --root; for an image, name its directory with --root",
  });
}

function identity(bootId: string): Parameters<typeof hostStateDirectory>[1] {
  return {
    pid: process.pid,
    bootId,
    startTicks: String(readProcess(process.pid)?.startTicks ?? 0),
    isAlive: (pid, startTicks) => {
      try {
        return String(readProcess(pid)?.startTicks) === startTicks;
      } catch {
        // It exists, and we may not look at it: better too careful.
        return true;
      }
    },
  };
}
