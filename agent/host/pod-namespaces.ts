import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { namespaceOf } from '../sysctl/namespaced.ts';
import { isValidSysctlName, toProcPath } from '../sysctl/names.ts';
import type { Commands } from './commands.ts';
import { namespaceLink } from './namespaces.ts';
import { classify, type SysctlReading } from './proc-sys.ts';
import { type Enterable, runInHost } from './sysctl-child.ts';

/** A pod whose sysctls are wanted; names in any spelling. */
export interface PodQuestion {
  readonly uid: string;
  readonly names: readonly string[];
}

/** Keyed by the names as they were given. `unreachable`: no process of the pod is to be seen, or it shares the host's namespaces. */
export type PodReadings =
  | { readonly kind: 'read'; readonly readings: ReadonlyMap<string, SysctlReading> }
  | { readonly kind: 'unreachable'; readonly reason: string };

export interface PodNamespacesOptions {
  readonly commands: Commands;
  /** A procfs of the host's pid namespace. */
  readonly procDir?: string;
  readonly deadlineMs?: number;
}

/**
 * Reads sysctls as pods see them: finds a process of each pod by its control group, then enters that process's network
 * and IPC namespaces, one process of ours for each pod. Needs the host's pid namespace. Never throws.
 */
export async function readPodSysctls(
  pods: readonly PodQuestion[],
  { commands, procDir = '/proc', deadlineMs = 10_000 }: PodNamespacesOptions,
): Promise<ReadonlyMap<string, PodReadings>> {
  const answers = new Map<string, PodReadings>();
  if (pods.length === 0) return answers;
  const processes = podProcesses(procDir);
  // One after the other: a node with fifty such pods must not start fifty processes at once.
  for (const { uid, names } of pods) {
    const valid = names.filter(isValidSysctlName);
    const kinds = new Set(valid.map(kindOf).filter((kind) => kind !== undefined));
    const way = wayInto(processes.get(uid) ?? [], kinds, procDir);
    if (typeof way === 'string') {
      answers.set(uid, { kind: 'unreachable', reason: way });
      continue;
    }
    const pid = way;
    const files = valid.map((name) => path.join(procDir, toProcPath(name).slice('/proc/'.length)));
    const entered = await runInHost({
      commands,
      procDir,
      deadlineMs,
      kinds,
      request: { read: files },
      target: pid,
    });
    if (entered.kind === 'failed') {
      answers.set(uid, { kind: 'unreachable', reason: entered.problem });
      continue;
    }
    const readings = valid.map((name, index): [string, SysctlReading] => [
      name,
      classify(entered.answer.readings?.[index] ?? { code: 'EIO' }),
    ]);
    answers.set(uid, { kind: 'read', readings: new Map(readings) });
  }
  return answers;
}

/**
 * The pod that a control group belongs to. The kubelet writes `pod<uid>` (cgroupfs driver) or, as systemd slices keep
 * dashes for themselves, `kubepods-besteffort-pod<uid with underscores>.slice`; version 1 and 2 differ before that. A
 * static pod's uid is 32 hex digits. Where kubelet and containerd disagree on the driver, a colon follows the slice.
 */
export function podUidOf(cgroup: string): string | undefined {
  const uid =
    /(?:^|[/-])pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:[/:]|$)/m.exec(
      cgroup,
    )?.[1];
  return uid?.replaceAll('_', '-');
}

/**
 * The first process of a pod with namespaces of its own, or why there is none. It is the sandbox's where it has one; but
 * with the cgroupfs driver CRI-O keeps the sandbox's monitor, which lives in the host's, in the pod's control group too.
 */
function wayInto(pids: readonly number[], kinds: ReadonlySet<Enterable>, procDir: string): number | string {
  let reason = 'no process of the pod is to be seen';
  for (const pid of pids) {
    const shared = [...kinds].find((kind) => isHosts(procDir, pid, kind));
    if (shared === undefined) return pid;
    reason = `the pod shares the host's ${shared} namespace, or it cannot be looked at`;
  }
  return reason;
}

function isHosts(procDir: string, pid: number, kind: Enterable): boolean {
  const own = namespaceLink(procDir, String(pid), kind);
  return own === undefined || own === namespaceLink(procDir, '1', kind);
}

/** The processes of each pod, by pid. */
function podProcesses(procDir: string): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, number[]>();
  const pids = readdirSync(procDir)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
  for (const pid of pids) {
    let text: string;
    try {
      text = readFileSync(path.join(procDir, String(pid), 'cgroup'), 'utf8');
    } catch {
      // It ended meanwhile.
      continue;
    }
    const uid = podUidOf(text);
    if (uid === undefined) continue;
    const known = found.get(uid);
    if (known === undefined) found.set(uid, [pid]);
    else known.push(pid);
  }
  return found;
}

function kindOf(name: string): Enterable | undefined {
  const kind = namespaceOf(name);
  return kind === 'net' || kind === 'ipc' || kind === 'uts' ? kind : undefined;
}
