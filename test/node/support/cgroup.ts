import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const cgroupRoot = '/sys/fs/cgroup';

/**
 * Makes a control group for one node in every hierarchy and gives the directories. Each node needs its own: two that
 * share one would find, and kill, each other's services, and containers would leave theirs on the machine.
 */
export function makeCgroups(name: string): string[] {
  const directories = cgroupsOf(name);
  for (const directory of directories) {
    mkdirSync(directory, { recursive: true });
    inheritCpuset(directory);
  }
  return directories;
}

/** SIGKILL for every process of a node, its supervisor included. They are gone a moment later. */
export function killCgroups(name: string): void {
  for (const pid of new Set(cgroupsOf(name).flatMap(processesBelow))) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}

/** Removes the control groups of a node whose processes are gone; gives false while the kernel still holds one. */
export function removeCgroups(name: string): boolean {
  return cgroupsOf(name).map(removeTree).every(Boolean);
}

/** Where the control groups of a node are, whether it runs or not. */
export function cgroupsOf(name: string): string[] {
  // cgroup.procs tells a hierarchy from the tmpfs that holds them on hosts with version 1.
  if (existsSync(join(cgroupRoot, 'cgroup.procs'))) return [join(cgroupRoot, name)];
  return readdirSync(cgroupRoot, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(cgroupRoot, entry.name, 'cgroup.procs')))
    .map((entry) => join(cgroupRoot, entry.name, name));
}

// Version 1: a group without processors of its own takes no process; clone_children hands them down.
function inheritCpuset(directory: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const inherited = join(dirname(directory), file);
    if (!existsSync(join(directory, 'cgroup.clone_children')) || !existsSync(inherited)) return;
    writeFileSync(join(directory, file), readFileSync(inherited));
    writeFileSync(join(directory, 'cgroup.clone_children'), '1');
  }
}

function processesBelow(directory: string): number[] {
  try {
    const here = readFileSync(join(directory, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(Number);
    const below = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => processesBelow(join(directory, entry.name)));
    return [...here, ...below];
  } catch (error) {
    // Groups come and go while systemd runs; a file of one that went says ENODEV.
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ENODEV'].includes(String(error.code)))
      return [];
    throw error;
  }
}

function removeTree(directory: string): boolean {
  if (!existsSync(directory)) return true;
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(join(directory, entry.name));
    }
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) {
      if (error.code === 'EBUSY') return false;
      if (error.code === 'ENOENT') return true;
    }
    throw error;
  }
}
