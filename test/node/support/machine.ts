import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { makeCgroups, removeCgroups } from './cgroup.ts';
import { childrenOf, identify, isNamespaceInit, isRunning, killProcess } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import { waitFor } from './wait.ts';

/** The disk of a node, and where it lives on this machine. */
export interface Disk {
  readonly name: string;
  /** Holds everything of this node; the tmpfs and the overlay are mounted below it. */
  readonly home: string;
  /** The merged root while no node runs on it. A running node sees more: its own /run, /tmp, /proc. */
  readonly root: string;
}

/** A booted system. Its first process is the leader; nspawn stands outside and waits for it. */
export interface Machine {
  readonly supervisor: ProcessIdentity;
  readonly leader: ProcessIdentity;
}

/** Mounts an empty overlay over `lower`. Every change, of ours and of the node, goes into a tmpfs of its own. */
export function makeDisk(home: string, name: string, lower: string, sizeMiB: number): Disk {
  const disk = join(home, 'disk');
  mkdirSync(disk, { recursive: true });
  execaSync('mount', ['-t', 'tmpfs', '-o', `mode=755,size=${sizeMiB}m`, name, disk]);
  for (const part of ['upper', 'work', 'root']) mkdirSync(join(disk, part), { mode: 0o755 });
  // Relative paths: the project's own may hold a colon or a comma, which the options cannot.
  const options = `lowerdir=${lower.replaceAll(/[\\:,]/g, String.raw`\$&`)},upperdir=upper,workdir=work`;
  execaSync('mount', ['-t', 'overlay', 'overlay', '-o', options, 'root'], { cwd: disk });
  return { name, home, root: join(disk, 'root') };
}

/** Unmounts and removes a disk, also a half-made one. The node must be gone. */
export function removeDisk(home: string): void {
  const disk = join(home, 'disk');
  // nspawn from 254 on mounts the last one on this machine, and does not come to unmount it when it is killed.
  const exported = join('/run/systemd/nspawn/unix-export', basename(home));
  for (const mount of [join(disk, 'root'), disk, exported]) {
    while (isMounted(mount)) execaSync('umount', ['-l', mount]);
  }
  rmSync(exported, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
}

/** Leaves `freeBytes` on the disk of a node, whatever it holds now; undone by emptyDisk. */
export function fillDisk({ home }: Disk, freeBytes: number): void {
  const { bavail, bsize } = statfsSync(join(home, 'disk'));
  const size = bavail * bsize - freeBytes;
  if (size > 0) execaSync('fallocate', ['-l', String(size), join(home, 'disk/filler')]);
}

export function emptyDisk({ home }: Disk): void {
  rmSync(join(home, 'disk/filler'), { force: true });
}

export interface BootOptions {
  /** Read-only: path on this machine → path in the node. */
  readonly binds: ReadonlyMap<string, string>;
  /** Calls that nspawn would not let through. */
  readonly systemCalls: readonly string[];
}

/** Boots what is on the disk. Comes back when the node has a first process, long before it is ready. */
export async function bootDisk(disk: Disk, { binds, systemCalls }: BootOptions): Promise<Machine> {
  const cgroups = makeCgroups(disk.name);
  const log = join(disk.home, 'console.log');
  writeFileSync(log, '');
  const nspawn = [
    'systemd-nspawn',
    '-q',
    '-D',
    disk.root,
    '-M',
    disk.name,
    '--register=no',
    '--keep-unit',
    '--private-network',
    '--console=pipe',
    '--link-journal=no',
    ...(systemCalls.length === 0 ? [] : [`--system-call-filter=${systemCalls.join(' ')}`]),
    ...[...binds].map(([from, to]) => `--bind-ro=${escapeBind(from)}:${to}`),
    '--boot',
    'systemd.unit=multi-user.target',
    'systemd.show_status=no',
    // systemd 256 and later may refuse version 1 of control groups without it; older ones ignore it.
    'SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1',
  ];
  const join_cgroups = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"';
  const running = execa('sh', ['-c', join_cgroups, 'sh', ...cgroups, '--', ...nspawn], {
    reject: false,
    stdin: 'ignore',
    stdout: { file: log },
    stderr: { file: log },
    buffer: false,
    cleanup: false,
  });
  const supervisor = identify(running.pid ?? 0);
  if (supervisor === undefined) throw new Error('cannot start systemd-nspawn');
  const leader = await waitFor(
    () => {
      if (!isRunning(supervisor)) return undefined;
      return childrenOf(supervisor.pid).filter(isNamespaceInit).map(identify)[0];
    },
    {
      what: `${disk.name} to have a first process`,
      explain: async () => Promise.resolve(readFileSync(log, 'utf8')),
    },
  );
  return { supervisor, leader };
}

/** Ends all processes of a node at once, as a power cut does, and waits until they are gone. */
export async function cutPower(disk: Disk, machine: Machine): Promise<void> {
  killProcess(machine.leader);
  await waitFor(() => !isRunning(machine.leader) && !isRunning(machine.supervisor), {
    what: `${disk.name} to be gone`,
  });
  await waitFor(() => removeCgroups(disk.name), { what: `the control groups of ${disk.name} to be empty` });
}

function isMounted(path: string): boolean {
  if (!existsSync(path)) return false;
  return execaSync('mountpoint', ['-q', path], { reject: false }).exitCode === 0;
}

function escapeBind(path: string): string {
  return path.replaceAll(/[\\:]/g, String.raw`\$&`);
}
