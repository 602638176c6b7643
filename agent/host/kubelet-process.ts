import { readFileSync, readlinkSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { isErrno } from './errno.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { Commands } from './commands.ts';
import { fileId } from './file-id.ts';
import { hostCommand } from './host-command.ts';

/** A running process, as /proc shows it. */
export interface KubeletProcess {
  readonly pid: number;
  /** Empty arguments included: an unset `${VAR}` in a unit leaves one. */
  readonly argv: readonly string[];
  /** Where its program was when it started, in its own mount namespace, without the kernel's ` (deleted)`. */
  readonly executable: string;
  /** The file was removed or replaced since: the next start runs another program, or none. */
  readonly executableDeleted: boolean;
  /** `DEVICE:INODE` of the running program, to compare with fileId() of what the unit would start next. */
  readonly executableId: string;
  /** Wall clock, to about a second: the kernel's boot time has no more. */
  readonly startedAtMs: number;
  /** Clock ticks since boot; with the pid it names one process for ever. */
  readonly startTicks: number;
  /** May hold secrets: never log it. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Looks at one process. Undefined when there is none, when it is a zombie, and when it ended while we looked.
 * @throws AgentError KUBELET_NOT_FOUND when we are not allowed to look.
 */
export type ReadProcess = (pid: number, procDir?: string) => KubeletProcess | undefined;

export const readProcess: ReadProcess = (pid, procDir = '/proc') => {
  const directory = path.join(procDir, String(pid));
  try {
    const before = startTicks(directory);
    const argv = nulSeparated(readFileSync(path.join(directory, 'cmdline'), 'utf8'));
    // A zombie and a kernel thread have no command line left.
    if (argv.length === 0) return undefined;
    const link = readlinkSync(path.join(directory, 'exe'));
    const deleted = link.endsWith(deletedMark);
    const seen: KubeletProcess = {
      pid,
      argv,
      executable: deleted ? link.slice(0, -deletedMark.length) : link,
      executableDeleted: deleted,
      executableId: fileId(path.join(directory, 'exe')) ?? '',
      startedAtMs: bootTimeMs(procDir) + (before * 1000) / ticksPerSecond,
      startTicks: before,
      environment: environmentOf(readFileSync(path.join(directory, 'environ'), 'utf8')),
    };
    // The pid may have been given to somebody else between two reads.
    return startTicks(directory) === before ? seen : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw new AgentError(
      'KUBELET_NOT_FOUND',
      `looking at process ${pid} below ${procDir}: ${String(error)}`,
      {
        cause: error,
        next: 'run the agent privileged and with hostPID',
      },
    );
  }
};

export interface VersionQuestion {
  /** Absolute path on the host; `/proc/PID/exe` asks the very program that runs, also when its file is gone. */
  readonly executable: string;
  /** Words between the program and `--version`: `kubelet` for hyperkube. */
  readonly argvPrefix?: readonly string[];
  /** The host's root as we see it. */
  readonly root: string;
  readonly procDir?: string;
  readonly signal?: AbortSignal;
}

/**
 * The kubelet's version as it prints it (`v1.36.2`, `v1.27.3+k3s1`), by running it on the host. Undefined on any doubt:
 * no answer in 10 s, an answer that is not a kubelet's, or a root that is not the one of the host's PID 1, because an
 * image's programs are not ours to run.
 */
export async function kubeletVersion(
  commands: Commands,
  question: VersionQuestion,
): Promise<string | undefined> {
  const { executable, argvPrefix = [], root, procDir = '/proc', signal } = question;
  if (!executable.startsWith('/')) return undefined;
  const [file, ...args] = hostCommand(root, [executable, ...argvPrefix, '--version'], procDir) ?? [];
  if (file === undefined) return undefined;
  const result = await commands.run(file, args, {
    deadlineMs: 10_000,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.kind !== 'exited' || result.code !== 0) return undefined;
  const line = /^(?:Kubernetes|(?:k3s|rke2) version) v\S+/m.exec(result.stdout);
  return line === null ? undefined : parseKubeletVersion(line[0])?.text;
}

/** The running kernel's release, e.g. `6.1.0-18-amd64`; one for all namespaces. */
export function kernelRelease(): string {
  return release();
}

const deletedMark = ' (deleted)';

// USER_HZ, which the kernel keeps at 100 for user space on every architecture that kubelets exist for.
const ticksPerSecond = 100;

/** Field 22 of stat, counted behind the last parenthesis: the name before it may hold anything. */
function startTicks(directory: string): number {
  const stat = readFileSync(path.join(directory, 'stat'), 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[22 - 3]);
}

function bootTimeMs(procDir: string): number {
  const line = /^btime (\d+)$/m.exec(readFileSync(path.join(procDir, 'stat'), 'latin1'));
  return Number(line?.[1]) * 1000;
}

function environmentOf(text: string): Record<string, string> {
  const pairs = nulSeparated(text).map((pair): [string, string] => {
    const equals = pair.indexOf('=');
    return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  return Object.fromEntries(pairs);
}

function nulSeparated(text: string): string[] {
  if (text === '') return [];
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}
