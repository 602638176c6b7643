import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { z } from 'zod';
import { cgroupsOf, killCgroups, removeCgroups } from './cgroup.ts';
import { removeDisk } from './machine.ts';
import { identify, isRunning } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import { nodesDirectory } from './project.ts';

interface Guardian {
  kill(signal: 'SIGKILL'): boolean;
}

const identitySchema = z.object({ pid: z.number(), start: z.string(), bootId: z.string() });

// Homes of nodes that this process made and did not dispose of yet, each with its guardian.
const mine = new Map<string, Guardian>();
let counter = 0;
let guarded = false;

/** A new directory for one node, remembered so that all of the node goes away with this process, however that ends. */
export function claimHome(label: string): { home: string; name: string } {
  guardOnce();
  sweepLeftovers();
  const name = `ksa-${process.pid}-${++counter}-${label.replaceAll(/[^a-z0-9-]/g, '-')}`.slice(0, 60);
  const home = join(nodesDirectory, name);
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'owner.json'), JSON.stringify(identify(process.pid)));
  mine.set(home, startGuardian(name));
  return { home, name };
}

/** Kills what runs on a home and removes it. Synchronous, so that it works while the process exits. */
export function releaseHome(home: string): void {
  const name = basename(home);
  killCgroups(name);
  removeDisk(home);
  for (let tries = 0; !removeCgroups(name) && tries < 100; tries++) execaSync('sleep', ['0.02']);
  mine.get(home)?.kill('SIGKILL');
  mine.delete(home);
}

/** Removes nodes of test processes that died without cleaning up. Nodes of running processes are left alone. */
export function sweepLeftovers(): void {
  if (!existsSync(nodesDirectory)) return;
  for (const name of readdirSync(nodesDirectory)) {
    const home = join(nodesDirectory, name);
    const owner = readOwner(home) ?? identify(Number(name.split('-')[1]));
    if (!mine.has(home) && (owner === undefined || !isRunning(owner))) releaseHome(home);
  }
}

function readOwner(home: string): ProcessIdentity | undefined {
  try {
    return identitySchema.parse(JSON.parse(readFileSync(join(home, 'owner.json'), 'utf8')));
  } catch {
    return undefined; // not written yet, or torn by the crash that made this a leftover
  }
}

// Its standard input ends when this process does, even by SIGKILL; then it ends the node. What is left on the disk
// is for sweepLeftovers.
function startGuardian(name: string): Guardian {
  const script = 'read -r _; find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -KILL';
  return execa('sh', ['-c', script, 'sh', ...cgroupsOf(name)], {
    reject: false,
    detached: true,
    cleanup: false,
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
  });
}

function guardOnce(): void {
  if (guarded) return;
  guarded = true;
  process.on('exit', releaseMine);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      releaseMine();
      process.kill(process.pid, signal);
    });
  }
}

function releaseMine(): void {
  for (const home of mine.keys()) releaseHome(home);
}
