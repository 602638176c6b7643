import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execaSync } from 'execa';
import { z } from 'zod';
import { removeCgroups } from './cgroup.ts';
import { removeDisk } from './machine.ts';
import type { Machine } from './machine.ts';
import { identify, isRunning, killProcess } from './processes.ts';
import { nodesDirectory } from './project.ts';

const identitySchema = z.object({ pid: z.number(), start: z.string(), bootId: z.string() });
const recordSchema = z.object({
  owner: identitySchema,
  machine: z.object({ supervisor: identitySchema, leader: identitySchema }).optional(),
});

// Homes of nodes that this process made and did not dispose of yet.
const mine = new Set<string>();
let counter = 0;
let guarded = false;

/** A new directory for one node, remembered so that it goes away with this process however that ends. */
export function claimHome(label: string): { home: string; name: string } {
  guardOnce();
  sweepLeftovers();
  const name = `ksa-${process.pid}-${++counter}-${label.replaceAll(/[^a-z0-9-]/g, '-')}`.slice(0, 60);
  const home = join(nodesDirectory, name);
  mkdirSync(home, { recursive: true });
  mine.add(home);
  recordMachine(home, undefined);
  return { home, name };
}

/** Notes which processes make up a node, for the cleanup after a crash of this one. */
export function recordMachine(home: string, machine: Machine | undefined): void {
  writeFileSync(join(home, 'record.json'), JSON.stringify({ owner: identify(process.pid), machine }));
}

/** Kills what runs on a home and removes it. Synchronous, so that it works while the process exits. */
export function releaseHome(home: string): void {
  const record = readRecord(home);
  if (record?.machine) {
    killProcess(record.machine.leader);
    killProcess(record.machine.supervisor);
  }
  removeDisk(home);
  const name = basename(home);
  for (let tries = 0; !removeCgroups(name) && tries < 100; tries++) execaSync('sleep', ['0.02']);
  mine.delete(home);
}

/** Removes nodes of test processes that died without cleaning up. Nodes of running processes are left alone. */
export function sweepLeftovers(): void {
  if (!existsSync(nodesDirectory)) return;
  for (const name of readdirSync(nodesDirectory)) {
    const home = join(nodesDirectory, name);
    const owner = readRecord(home)?.owner ?? identify(Number(name.split('-')[1]));
    if (!mine.has(home) && (owner === undefined || !isRunning(owner))) releaseHome(home);
  }
}

function readRecord(home: string): z.infer<typeof recordSchema> | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(join(home, 'record.json'), 'utf8')));
  } catch {
    return undefined; // not written yet, or torn by the crash that made this a leftover
  }
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
  for (const home of mine) releaseHome(home);
}
