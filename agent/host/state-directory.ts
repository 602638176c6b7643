import { constants } from 'node:fs';
import { link, lstat, mkdir, open, readFile, readdir, rename, rm, unlink, utimes } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { isErrno } from './errno.ts';
import { type AuditLine, type Journal, type Token, parseJournal, tokens } from '../transaction/journal.ts';
import { type FileAttributes, resolveInRoot, sha256, syncDirectory, writeAtomically } from './files.ts';

/** A plan that failed, so that it is not tried again until something changes. */
export interface Latch {
  readonly planHash: string;
  readonly code: string;
  readonly message: string;
  readonly sinceMs: number;
  readonly transaction: string;
}

/** Everything the agent remembers, on the host: journal, backups, audit, latch. Survives agent and node. */
export interface StateDirectory {
  /** Its path on the host, for programs that run there. */
  readonly hostPath: string;
  /** One agent at a time. @throws AgentError TRANSACTION_RUNNING naming the holder. */
  lock(): Promise<{ release(): Promise<void> }>;
  /** @throws AgentError JOURNAL_UNREADABLE. */
  readJournal(): Promise<Journal | undefined>;
  writeJournal(journal: Journal): Promise<void>;
  /** Closed transactions, newest first; those that cannot be read are left out. */
  history(): Promise<readonly Journal[]>;
  backupPath(id: string): string;
  /** Saves one previous file, byte for byte, with its owner, mode and time. */
  saveBackup(
    id: string,
    name: string,
    text: string,
    attributes: FileAttributes & { mtimeMs?: number },
  ): Promise<void>;
  readBackup(id: string, name: string): Promise<string | undefined>;
  token(id: string): Promise<Token>;
  /** Makes the token `armed`. */
  arm(id: string): Promise<void>;
  /** Moves the token, atomically. False when it was not `from` (any more): somebody else decided. */
  claim(id: string, from: Token, to: Token): Promise<boolean>;
  audit(line: AuditLine): Promise<void>;
  readLatch(): Promise<Latch | undefined>;
  writeLatch(latch: Latch | undefined): Promise<void>;
  /** Forgets old backups; the newest `keep` stay. */
  prune(keep: number): Promise<void>;
}

export const stateDirectoryPath = '/var/lib/kubelet-sysctl-agent';

/** @throws AgentError STATE_DIRECTORY_UNSAFE where anybody but root could write there. */
export async function hostStateDirectory(
  root: string,
  identity: {
    readonly pid: number;
    readonly bootId: string;
    readonly startTicks: string;
    isAlive(pid: number, startTicks: string): boolean;
  },
): Promise<StateDirectory> {
  const directory = await openDirectory(root);
  const inside = (...parts: string[]): string => path.join(directory, ...parts);
  const backup = (id: string, ...parts: string[]): string => inside('backup', safeName(id), ...parts);

  const writeJson = async (file: string, value: unknown): Promise<void> => {
    try {
      await writeAtomically(file, Buffer.from(`${JSON.stringify(value, null, 1)}\n`), privateFile);
    } catch (cause) {
      throw new AgentError('FILE_WRITE_FAILED', `writing ${file}: ${String(cause)}`, {
        cause,
        next: 'free the disk or mend the file system, then run it again',
      });
    }
  };
  const readJournalFile = async (file: string): Promise<Journal | undefined> => {
    const text = await readIfThere(file);
    if (text === undefined) return undefined;
    const parsed = parseJournal(text, file);
    if (!parsed.ok)
      throw new AgentError(
        'JOURNAL_UNREADABLE',
        parsed.problem.message,
        parsed.problem.next === undefined ? {} : { next: parsed.problem.next },
      );
    return parsed.journal;
  };

  return {
    hostPath: stateDirectoryPath,
    backupPath: (id) => `${stateDirectoryPath}/backup/${safeName(id)}`,
    lock: async () => takeLock(inside('lock'), identity),
    readJournal: async () => readJournalFile(inside('journal.json')),
    async writeJournal(journal) {
      await makePrivate(backup(journal.id));
      // The copy beside the backups first: what `journal.json` names is always there.
      await writeJson(backup(journal.id, 'journal.json'), journal);
      await writeJson(inside('journal.json'), journal);
    },
    async history() {
      const journals: Journal[] = [];
      for (const name of await readdir(inside('backup')).catch(() => [])) {
        const journal = await readJournalFile(inside('backup', name, 'journal.json')).catch(() => undefined);
        if (journal?.verdict !== undefined) journals.push(journal);
      }
      return journals.sort((a, b) => b.startedAtMs - a.startedAtMs || b.id.localeCompare(a.id));
    },
    async saveBackup(id, name, text, { mtimeMs, ...attributes }) {
      try {
        await makePrivate(backup(id));
        const file = backup(id, safeName(name));
        await writeAtomically(file, Buffer.from(text, 'utf8'), attributes);
        if (mtimeMs !== undefined) await utimes(file, mtimeMs / 1000, mtimeMs / 1000);
      } catch (cause) {
        throw new AgentError('FILE_WRITE_FAILED', `saving a backup: ${String(cause)}`, {
          cause,
          next: 'free the disk or mend the file system, then run it again',
        });
      }
    },
    readBackup: async (id, name) => readIfThere(backup(id, safeName(name))),
    async token(id) {
      const names = new Set(await readdir(backup(id)).catch(() => []));
      return tokens.find((name) => names.has(name)) ?? 'none';
    },
    async arm(id) {
      await writeAtomically(backup(id, 'armed'), Buffer.from(''), privateFile);
    },
    async claim(id, from, to) {
      try {
        await rename(backup(id, from), backup(id, to));
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return false;
        throw error;
      }
      await syncDirectory(backup(id));
      return true;
    },
    async audit(line) {
      const handle = await open(
        inside('audit.jsonl'),
        constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        const { size } = await handle.stat();
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, Math.max(size - 1, 0));
        // A line that a power failure cut off must not spoil this one.
        const torn = bytesRead === 1 && buffer.toString() !== '\n';
        await handle.writeFile(`${torn ? '\n' : ''}${JSON.stringify(line)}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
    },
    async readLatch() {
      return decodeLatch(await readIfThere(inside('latch.json')));
    },
    async writeLatch(latch) {
      if (latch === undefined) await rm(inside('latch.json'), { force: true });
      else await writeJson(inside('latch.json'), latch);
    },
    async prune(keep) {
      const names = (await readdir(inside('backup')).catch(() => [])).toSorted((a, b) => (a < b ? 1 : -1));
      // A clock that was set back must not make the newest look like the oldest.
      const current = (await readJournalFile(inside('journal.json')).catch(() => undefined))?.id;
      for (const name of names.slice(keep)) {
        // Never one that is still undecided, whatever its age.
        const here = new Set(await readdir(inside('backup', name)).catch(() => []));
        if (name === current || here.has('armed') || here.has('fired') || here.has('reverting')) continue;
        await rm(inside('backup', name), { recursive: true, force: true });
      }
    },
  };
}

/** Undefined unless the text is a whole latch: without one the change is tried once more, and latched again. */
export function decodeLatch(text: string | undefined): Latch | undefined {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    if (typeof value !== 'object' || value === null) return undefined;
    const texts = ['planHash', 'code', 'message', 'transaction'].map((key): unknown =>
      Reflect.get(value, key),
    );
    const sinceMs: unknown = Reflect.get(value, 'sinceMs');
    if (!texts.every((found) => typeof found === 'string')) return undefined;
    return typeof sinceMs === 'number' && Math.abs(sinceMs) <= 8.64e15 ? (value as Latch) : undefined;
  } catch {
    return undefined;
  }
}

const privateFile: FileAttributes = { mode: 0o600, uid: 0, gid: 0 };

async function openDirectory(root: string): Promise<string> {
  const unsafe = (why: string): AgentError =>
    new AgentError('STATE_DIRECTORY_UNSAFE', `${stateDirectoryPath}: ${why}`, {
      next: 'find out who made it, remove it, and let the agent make it anew',
    });
  const parent = await resolveInRoot(root, path.dirname(stateDirectoryPath));
  const directory = path.join(parent, path.basename(stateDirectoryPath));
  await mkdir(parent, { recursive: true });
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) {
      throw new AgentError(
        isErrno(error, 'EROFS') ? 'NODE_READ_ONLY' : 'FILE_WRITE_FAILED',
        `making ${stateDirectoryPath}: ${String(error)}`,
        { cause: error },
      );
    }
  });
  const info = await lstat(directory);
  if (!info.isDirectory()) throw unsafe('is no directory (a symbolic link is not followed)');
  const owner = process.getuid?.() ?? 0;
  if (info.uid !== owner) throw unsafe(`belongs to uid ${info.uid}, not to uid ${owner}`);
  if ((info.mode & 0o022) !== 0) throw unsafe('can be written by others than its owner');
  const above = await lstat(parent);
  if ((above.mode & 0o002) !== 0 && (above.mode & 0o1000) === 0)
    throw unsafe('lies in a directory that everybody may write to');
  await makePrivate(path.join(directory, 'backup'));
  return directory;
}

async function makePrivate(directory: string): Promise<void> {
  const created = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (created !== undefined) await syncDirectory(path.dirname(created));
}

interface LockIdentity extends Holder {
  isAlive(pid: number, startTicks: string): boolean;
}

interface Holder {
  readonly pid: number;
  readonly bootId: string;
  readonly startTicks: string;
}

/** The lock file appears whole, as the link of a finished file; one whose holder is gone is taken away first. */
async function takeLock(file: string, identity: LockIdentity): Promise<{ release(): Promise<void> }> {
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

/** Transaction ids and backup names are ours; anything with a slash is a bug or an attack. */
function safeName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new AgentError('INTERNAL', `unsafe file name ${JSON.stringify(name)}`);
  return name;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
