import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

const hierarchies = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'];

/**
 * Makes a control group for one node in every hierarchy that systemd uses and gives the directories. Each node needs
 * its own: two that share one would find, and kill, each other's services.
 */
export function makeCgroups(name: string): string[] {
  const directories = cgroupsOf(name);
  for (const directory of directories) mkdirSync(directory, { recursive: true });
  return directories;
}

/** Removes the control groups of a node whose processes are gone; gives false while the kernel still holds one. */
export function removeCgroups(name: string): boolean {
  return cgroupsOf(name).map(removeTree).every(Boolean);
}

function cgroupsOf(name: string): string[] {
  // cgroup.procs tells a hierarchy from the tmpfs that holds them on hosts with version 1.
  return hierarchies
    .filter((directory) => existsSync(join(directory, 'cgroup.procs')))
    .map((directory) => join(directory, name));
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
