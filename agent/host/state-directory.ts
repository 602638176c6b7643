import { constants } from 'node:fs';
import { open, readdir, rename, rm, utimes } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { type AuditLine, type Journal, type Token, parseJournal, tokens } from '../transaction/journal.ts';
import { type FileAttributes, syncDirectory, writeAtomically } from './atomic-write.ts';
import { isErrno } from './errno.ts';
import { decodeLatch, type Latch } from './latch.ts';
import {
  makePrivate,
  openStateDirectory,
  privateFile,
  readIfThere,
  stateDirectoryPath,
} from './private-files.ts';
import { type LockIdentity, takeLock } from './state-lock.ts';

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

/** @throws AgentError STATE_DIRECTORY_UNSAFE where anybody but root could write there. */
export async function hostStateDirectory(root: string, identity: LockIdentity): Promise<StateDirectory> {
  const directory = await openStateDirectory(root);
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

/** Transaction ids and backup names are ours; anything with a slash is a bug or an attack. */
function safeName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new AgentError('INTERNAL', `unsafe file name ${JSON.stringify(name)}`);
  return name;
}
