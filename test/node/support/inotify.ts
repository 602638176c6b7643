import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './wait.ts';

/** What a node with a real kubelet and a container runtime takes of it, with some to spare. */
const instancesOfNode = 18;

let lastBoot: Promise<unknown> = Promise.resolve();

/**
 * Boots a node with a real kubelet when the machine has inotify instances left for one: they are counted by user, not
 * by container, and kubelets and container runtimes do not start without. Linux gives a user 128 unless told otherwise
 * (fs.inotify.max_user_instances). One node at a time, so that two do not count on the same ones.
 */
export async function bootWithInotify(boot: () => Promise<void>): Promise<void> {
  const booting = afterTurn(lastBoot, boot);
  lastBoot = booting.catch(() => undefined);
  return booting;
}

async function afterTurn(turn: Promise<unknown>, boot: () => Promise<void>): Promise<void> {
  await turn;
  await waitForInotify();
  await boot();
}

async function waitForInotify(): Promise<void> {
  const limit = Number(readFileSync('/proc/sys/fs/inotify/max_user_instances', 'utf8'));
  await waitFor(() => limit - instancesInUse() >= instancesOfNode, {
    what: `${instancesOfNode} of the ${limit} inotify instances of this user to be free`,
    deadlineMs: 120_000,
  });
}

function instancesInUse(): number {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => openFiles(join('/proc', pid, 'fd')))
    .filter((target) => target === 'anon_inode:inotify').length;
}

function openFiles(directory: string): readonly string[] {
  try {
    return readdirSync(directory).flatMap((name) => linkOf(join(directory, name)));
  } catch {
    return []; // processes come and go
  }
}

function linkOf(path: string): readonly string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}
