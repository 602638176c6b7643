import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestNode } from '../../test/node/support/node.ts';
import { waitFor } from '../../test/node/support/node.ts';

/** Memory of a process, in MiB with one digit. */
export interface Measured {
  /** As the kubelet counts it: the control group's usage less its inactive file pages. */
  readonly workingSet: string;
  readonly anonymous: string;
  readonly rss: string;
  readonly pss: string;
}

/** Starts processes in memory control groups of their own and measures them. Versions 1 and 2 of control groups. */
export class Processes {
  private readonly root: string;
  private readonly version: 1 | 2;
  private readonly groups = new Map<number, string>();
  private count = 0;

  constructor(name: string) {
    this.version = existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1;
    this.root = join(this.version === 2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory', name);
    mkdirSync(this.root, { recursive: true });
    if (this.version === 2) writeFileSync(join(this.root, 'cgroup.subtree_control'), '+memory');
  }

  /** Starts a command on the node; its memory is counted from its first page on. */
  async start(
    node: TestNode,
    name: string,
    command: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<number> {
    this.count += 1;
    const mark = `${name}-${this.count}`;
    const group = join(this.root, mark);
    mkdirSync(group);
    // The shell waits until it has been moved; then it becomes the program.
    const fifo = `/run/${mark}`;
    await node.exec(['mkfifo', fifo]);
    await node.spawn(['sh', '-c', `read -r go < ${fifo}; exec "$@"`, mark, ...command], { env });
    const pid = await waitFor(() => findByMark(mark), { what: `${mark} to start` });
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    await node.exec(['sh', '-c', `echo go > ${fifo}`]);
    this.groups.set(pid, group);
    return pid;
  }

  async kill(pid: number): Promise<void> {
    process.kill(pid, 'SIGKILL');
    await waitFor(() => !existsSync(`/proc/${pid}`), { what: `${pid} to end` });
    const group = this.groups.get(pid);
    this.groups.delete(pid);
    if (group !== undefined) await waitFor(() => removed(group), { what: `${group} to be empty` });
  }

  /** Time on the processors since the start, of all threads, children that ended included. */
  cpuMicroseconds(pid: number): number {
    const threads = readdirSync(`/proc/${pid}/task`).map((task) =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    );
    const ended = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    const childTicks = Number(ended[13]) + Number(ended[14]);
    return threads.reduce((sum, one) => sum + one, 0) / 1000 + childTicks * 10_000;
  }

  measure(pid: number): Measured {
    const group = this.groups.get(pid) ?? '';
    const stat = Object.fromEntries(
      readFileSync(join(group, 'memory.stat'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
    const usage = Number(
      readFileSync(join(group, this.version === 2 ? 'memory.current' : 'memory.usage_in_bytes'), 'utf8'),
    );
    const inactive = Number(stat[this.version === 2 ? 'inactive_file' : 'total_inactive_file']);
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const kib = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]) * 1024;
    return {
      workingSet: mib(usage - inactive),
      anonymous: mib(Number(stat[this.version === 2 ? 'anon' : 'total_rss'])),
      rss: mib(kib('Rss')),
      pss: mib(kib('Pss')),
    };
  }

  close(): void {
    for (const pid of this.groups.keys()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It died with its node.
      }
    }
    for (const group of existsSync(this.root) ? readdirSync(this.root, { withFileTypes: true }) : []) {
      if (group.isDirectory()) removed(join(this.root, group.name));
    }
    removed(this.root);
  }
}

function findByMark(mark: string): number | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (words[0] === 'sh' && words[3] === mark) return Number(name);
    } catch {
      // It ended.
    }
  }
  return undefined;
}

function removed(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}

function mib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
