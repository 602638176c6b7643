import path from 'node:path';
import { fromProcPath, isValidSysctlName, toProcPath } from '../sysctl/names.ts';
import { namespaceOf } from '../sysctl/namespaced.ts';
import type { Commands } from './commands.ts';
import { type NamespaceFacts, readNamespaces, type ReadNamespaces } from './namespaces.ts';
import {
  classify,
  listSysctlFiles,
  readSysctlFile,
  type SysctlReading,
  writeSysctlFile,
} from './proc-sys.ts';
import { type ChildRequest, type Enterable, type Entered, runInHost } from './sysctl-child.ts';
import { openSysctlReader, type SysctlReader } from './sysctl-reader.ts';

export type { SysctlReading, UnreadableReason } from './proc-sys.ts';
export type { SysctlReader } from './sysctl-reader.ts';

/** The node's own sysctls: always those of the host's namespaces, whatever ours are. */
export interface Sysctls {
  /** One reading for each name, in any spelling; one that cannot be read never stops the others. */
  read(names: readonly string[]): Promise<SysctlReadings>;
  /** Writes value and newline with one write(2). */
  write(name: string, value: string): Promise<SysctlWriting>;
  /** All names that begin with the prefix, sorted, dotted; readable or not. */
  list(prefix?: string): Promise<SysctlNames>;
  /** A reader for the metrics loop; undefined where a name can be read through another process alone. */
  openReader(names: readonly string[]): SysctlReader | undefined;
}

/**
 * `direct`: nothing needed another namespace. `nsenter`: some of it came from a process in the host's namespaces.
 * `none`: some of it would have had to, and that was not possible for the reason in `problem`.
 */
export interface Means {
  readonly via: 'direct' | 'nsenter' | 'none';
  readonly problem?: string;
}

export interface SysctlReadings extends Means {
  /** Keyed by the names as they were given. */
  readonly readings: ReadonlyMap<string, SysctlReading>;
}

export interface SysctlNames extends Means {
  readonly names: readonly string[];
}

export type SysctlWriting =
  | { readonly kind: 'written' }
  /** The kernel's errno (`EINVAL`, `EACCES`, `EROFS`, `ENOENT`) or why the host's namespaces were out of reach. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface HostSysctlsOptions {
  readonly commands: Commands;
  /** A procfs in which PID 1 is the host's. */
  readonly procDir?: string;
  readonly namespaces?: ReadNamespaces;
  /** For the process in the host's namespaces. */
  readonly deadlineMs?: number;
}

/**
 * The host's sysctls, directly where our namespaces are the host's, else with one nsenter for all names. The namespace
 * of whoever opens a file below /proc/sys decides what is in it, not where that /proc is mounted. The pid and user
 * namespaces cannot be entered from below: what lives there can be read directly or not at all.
 */
export function hostSysctls(options: HostSysctlsOptions): Sysctls {
  const { commands, procDir = '/proc', deadlineMs = 10_000 } = options;
  const namespaces = options.namespaces ?? (() => readNamespaces(procDir));
  const enter = async (
    kinds: ReadonlySet<Enterable>,
    request: Omit<ChildRequest, 'links'>,
  ): Promise<Entered> => runInHost({ commands, procDir, deadlineMs, kinds, request });

  return {
    async read(names) {
      const facts = namespaces();
      const readings = new Map<string, SysctlReading>();
      const far: { name: string; file: string; kind: Enterable }[] = [];
      let problem: string | undefined;
      for (const name of names) {
        const file = fileOf(name, procDir);
        const reach = reachOf(name, facts);
        if (file === undefined) readings.set(name, { kind: 'unreadable', reason: 'absent' });
        else if (reach.kind === 'direct') readings.set(name, classify(readSysctlFile(file)));
        else {
          readings.set(name, { kind: 'unreadable', reason: 'wrongNamespace' });
          if (reach.kind === 'enter') far.push({ name, file, kind: reach.namespace });
          else problem ??= reach.problem;
        }
      }
      if (far.length === 0) return { readings, ...means(false, problem) };
      const kinds = new Set(far.map(({ kind }) => kind));
      const entered = await enter(kinds, { read: far.map(({ file }) => file) });
      if (entered.kind === 'failed') return { readings, ...means(true, entered.problem) };
      for (const [index, { name }] of far.entries()) {
        readings.set(name, classify(entered.answer.readings?.[index] ?? { code: 'EIO' }));
      }
      return { readings, ...means(true, problem) };
    },

    async write(name, value) {
      const file = fileOf(name, procDir);
      if (file === undefined) return { kind: 'refused', reason: 'ENOENT' };
      const reach = reachOf(name, namespaces());
      const text = `${value}\n`;
      if (reach.kind === 'direct') return writing(writeSysctlFile(file, text));
      if (reach.kind === 'unreachable') return { kind: 'refused', reason: reach.problem };
      const entered = await enter(new Set([reach.namespace]), { write: { path: file, text } });
      if (entered.kind === 'failed') return { kind: 'refused', reason: entered.problem };
      return writing(entered.answer.written === undefined ? 'EIO' : (entered.answer.written ?? undefined));
    },

    async list(prefix = '') {
      const facts = namespaces();
      const tree = path.join(procDir, 'sys');
      const named = (files: readonly string[]): readonly string[] => namesOf(files, procDir, prefix);
      // The network decides which files there are; all other namespaces change values alone.
      const aboutNet = prefix.startsWith('net.') || 'net.'.startsWith(prefix);
      const reach: Reach = aboutNet ? reachOf('net.', facts) : { kind: 'direct' };
      if (reach.kind === 'direct') return { names: named(listSysctlFiles(tree)), via: 'direct' };
      if (reach.kind === 'unreachable')
        return { names: named(listSysctlFiles(tree)), via: 'none', problem: reach.problem };
      const entered = await enter(new Set(['net']), { list: tree });
      if (entered.kind === 'failed')
        return { names: named(listSysctlFiles(tree)), via: 'none', problem: entered.problem };
      return { names: named(entered.answer.files ?? []), via: 'nsenter' };
    },

    openReader(names) {
      const facts = namespaces();
      const reaches = names.map((name) => reachOf(name, facts));
      if (reaches.some(({ kind }) => kind === 'enter')) return undefined;
      return openSysctlReader(
        names.map((name, index) =>
          reaches[index]?.kind === 'direct' ? (fileOf(name, procDir) ?? nowhere) : undefined,
        ),
      );
    },
  };
}

type Reach =
  | { readonly kind: 'direct' }
  | { readonly kind: 'enter'; readonly namespace: Enterable }
  | { readonly kind: 'unreachable'; readonly problem: string };

// A file that is never there, for a name that no file can have.
const nowhere = '/proc/sys/-';

function reachOf(name: string, facts: NamespaceFacts): Reach {
  // Below `net.` the whole directory belongs to the reader, also what is not namespaced in it.
  const namespace = /^net[./]/.test(name) ? 'net' : namespaceOf(name);
  if (namespace === 'none' || facts[namespace] === 'host') return { kind: 'direct' };
  if (facts.hostInit === 'notSeen') {
    return { kind: 'unreachable', problem: 'the host’s PID 1 is not to be seen: run with hostPID' };
  }
  if (namespace === 'pid' || namespace === 'user') {
    const problem = `the host’s ${namespace} namespace cannot be entered: run with ${namespace === 'pid' ? 'hostPID' : 'hostUsers'}`;
    return { kind: 'unreachable', problem };
  }
  return { kind: 'enter', namespace };
}

function fileOf(name: string, procDir: string): string | undefined {
  return isValidSysctlName(name) ? path.join(procDir, toProcPath(name).slice('/proc/'.length)) : undefined;
}

function namesOf(files: readonly string[], procDir: string, prefix: string): readonly string[] {
  return files
    .map((file) => fromProcPath(path.join('/proc', path.relative(procDir, file))))
    .filter((name) => name !== undefined)
    .filter((name) => name.startsWith(prefix))
    .sort();
}

function means(entered: boolean, problem: string | undefined): Means {
  if (problem !== undefined) return { via: 'none', problem };
  return { via: entered ? 'nsenter' : 'direct' };
}

function writing(errno: string | undefined): SysctlWriting {
  return errno === undefined ? { kind: 'written' } : { kind: 'refused', reason: errno };
}
