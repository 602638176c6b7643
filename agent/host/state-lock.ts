import { link, unlink } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { writeAtomically } from './atomic-write.ts';
import { isErrno } from './errno.ts';
import { privateFile, readIfThere } from './private-files.ts';
import { sha256 } from './read-text.ts';

/** Who asks for the lock, and how to tell whether another holder still lives. */
export interface LockIdentity extends Holder {
  isAlive(pid: number, startTicks: string): boolean;
}

/**
 * The lock file appears whole, as the link of a finished file; one whose holder is gone is taken away first.
 * @throws AgentError TRANSACTION_RUNNING naming the holder, FILE_WRITE_FAILED.
 */
export async function takeLock(file: string, identity: LockIdentity): Promise<{ release(): Promise<void> }> {
  const mine = JSON.stringify({
    pid: identity.pid,
    bootId: identity.bootId,
    startTicks: identity.startTicks,
  });
  const temporary = `${file}.${identity.pid}.${identity.startTicks}`;
  try {
    await writeAtomically(temporary, Buffer.from(mine), privateFile);
  } catch (cause) {
    throw new AgentError('FILE_WRITE_FAILED', `writing ${file}: ${String(cause)}`, {
      cause,
      next: 'free the disk or mend the file system, then run it again',
    });
  }
  try {
    for (let attempt = 0; attempt < lockAttempts; attempt += 1) {
      if (await appears(temporary, file)) {
        return {
          async release() {
            if ((await readIfThere(file)) === mine) await unlink(file).catch(() => undefined);
          },
        };
      }
      const seen = await readIfThere(file);
      if (seen === undefined) continue;
      const holder = holderOf(seen);
      if (isHeld(holder, identity)) {
        throw new AgentError(
          'TRANSACTION_RUNNING',
          `another agent (PID ${holder?.pid}) is at work on this node`,
          { next: 'wait for it to end, or look at it with `kubelet-sysctl-agent status`' },
        );
      }
      await takeAwayStale(file, seen, temporary, identity);
    }
    throw new AgentError('TRANSACTION_RUNNING', 'other agents keep taking the lock of this node', {
      next: 'try again',
    });
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

interface Holder {
  readonly pid: number;
  readonly bootId: string;
  readonly startTicks: string;
}

const lockAttempts = 20;

/**
 * Takes a lock away whose holder is gone, and never the lock of the one who was quicker to do so: while the file named
 * after the stale text is held, nobody else takes that text away, and nobody writes it again. Whoever dies in here
 * leaves a stale file of the same kind, for which the same holds.
 */
async function takeAwayStale(
  file: string,
  seen: string,
  temporary: string,
  identity: LockIdentity,
): Promise<void> {
  const turn = `${file.replace(/\.stale-[0-9a-f]+$/, '')}.stale-${sha256(`${path.basename(file)} ${seen}`).slice(0, 16)}`;
  if (await appears(temporary, turn)) {
    try {
      if ((await readIfThere(file)) === seen) await unlink(file);
    } finally {
      await unlink(turn).catch(() => undefined);
    }
    return;
  }
  const taken = await readIfThere(turn);
  if (taken !== undefined && !isHeld(holderOf(taken), identity)) {
    await takeAwayStale(turn, taken, temporary, identity);
  }
}

/** False where a file of that name is there already. */
async function appears(finished: string, file: string): Promise<boolean> {
  try {
    await link(finished, file);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

function isHeld(holder: Holder | undefined, identity: LockIdentity): boolean {
  return (
    holder !== undefined &&
    holder.bootId === identity.bootId &&
    identity.isAlive(holder.pid, holder.startTicks)
  );
}

function holderOf(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (
      typeof value === 'object' &&
      value !== null &&
      'pid' in value &&
      'bootId' in value &&
      'startTicks' in value
    ) {
      return { pid: Number(value.pid), bootId: String(value.bootId), startTicks: String(value.startTicks) };
    }
  } catch {
    // A lock that was cut off by a power failure has no holder.
  }
  return undefined;
}
