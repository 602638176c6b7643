import { globMatches, isGlob } from './glob.ts';
import { fromProcPath, toProcPath } from './names.ts';
import type { SysctlAssignment } from './sysctl-lines.ts';
import { readSysctlLines } from './sysctl-lines.ts';

/** A sysctl.d file with its text; a masked one (a link to /dev/null) has an empty text. */
export interface SysctlFile {
  readonly path: string;
  readonly text: string;
}

/** Where a value comes from: the line that wins at boot. Lines count from 1. */
export interface SysctlSource {
  readonly path: string;
  readonly line: number;
  readonly value: string;
}

/** Where sysctl.d files live, the strongest first (systemd's CONF_PATHS; /lib is /usr/lib on merged systems). */
export const sysctlDirectories = [
  '/etc/sysctl.d',
  '/run/sysctl.d',
  '/usr/local/lib/sysctl.d',
  '/usr/lib/sysctl.d',
  '/lib/sysctl.d',
] as const;

/** The file that procps' `sysctl -p` reads. systemd knows it only through Debian's link 99-sysctl.conf. */
export const sysctlConf = '/etc/sysctl.conf';

/**
 * The line that gives a sysctl its value at boot, by the rules of systemd-sysctl: files by name over all directories,
 * of two with one name that in the stronger directory, the last assignment wins, an exact name beats every glob, and
 * `-name` without a value keeps globs off. /etc/sysctl.conf is read last. procps' `sysctl --system` differs: before
 * 4.0 /run beats /etc, and it always reads /etc/sysctl.conf; systemd without that link never does. A value that
 * something set later, at runtime, has no line.
 */
export function sourceOf(name: string, files: readonly SysctlFile[]): SysctlSource | undefined {
  const key = toProcPath(name).slice(procSys.length);
  const assignments = effectiveAssignments(files);
  const exact = assignments.get(key);
  const winner =
    exact ??
    [...assignments.values()].findLast(
      (glob) => glob.value !== undefined && isGlob(glob.key) && globMatches(glob.key, key),
    );
  return winner?.value === undefined
    ? undefined
    : { path: winner.path, line: winner.line, value: winner.value };
}

/** The files in the order in which they are read, without those that another one of the same name hides. */
export function inReadingOrder(files: readonly SysctlFile[]): readonly SysctlFile[] {
  const strongest = new Map<string, SysctlFile>();
  for (const file of files) {
    const name = nameInDirectory(file.path);
    if (name === undefined) continue;
    const rival = strongest.get(name);
    if (rival === undefined || strength(file.path) < strength(rival.path)) strongest.set(name, file);
  }
  const sorted = [...strongest].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
  return [...sorted, ...files.filter(({ path }) => path === sysctlConf)];
}

/** A sysctl with the value that a file gives it. */
export interface KeptValue {
  readonly name: string;
  readonly value: string;
}

/**
 * The text of the agent's own file. Only for names that passed isValidSysctlName and values without line breaks. A
 * leading `-` keeps a name that this kernel lacks from failing the boot's systemd-sysctl.
 */
export function renderSysctlD(values: readonly KeptValue[]): string {
  const lines = values.map(({ name, value }) => `-${name} = ${value}\n`);
  return `# Written by kubelet-sysctl-agent from its policy; changes made here are overwritten.\n${lines.join('')}`;
}

/**
 * The names (normalised) and values that a file assigns, in order; of two lines for one name the last. Globs, `-name`
 * without a value and names that lead to no path below /proc/sys are left out.
 */
export function readSysctlD(text: string): readonly KeptValue[] {
  const values = new Map<string, string>();
  for (const { key, value } of readSysctlLines(text)) {
    const name = fromProcPath(`${procSys}${key}`);
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
  return [...values].map(([name, value]) => ({ name, value }));
}

const procSys = '/proc/sys/';

interface PlacedAssignment extends SysctlAssignment {
  readonly path: string;
}

function effectiveAssignments(files: readonly SysctlFile[]): ReadonlyMap<string, PlacedAssignment> {
  const assignments = new Map<string, PlacedAssignment>();
  for (const { path, text } of inReadingOrder(files)) {
    for (const assignment of readSysctlLines(text)) {
      // The same value again leaves the first line in charge; another value moves to the end, which decides between
      // globs (parse_file in systemd's sysctl.c).
      if (assignments.get(assignment.key)?.value === assignment.value && assignments.has(assignment.key))
        continue;
      assignments.delete(assignment.key);
      assignments.set(assignment.key, { ...assignment, path });
    }
  }
  return assignments;
}

function nameInDirectory(path: string): string | undefined {
  const directory = sysctlDirectories.find((candidate) => path.startsWith(`${candidate}/`));
  if (directory === undefined) return undefined;
  const name = path.slice(directory.length + 1);
  return name.endsWith('.conf') && !name.includes('/') ? name : undefined;
}

function strength(path: string): number {
  return sysctlDirectories.findIndex((directory) => path.startsWith(`${directory}/`));
}
