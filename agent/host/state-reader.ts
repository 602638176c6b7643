import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { AgentError, type Problem, problemOf } from '../errors.ts';
import { type Journal, parseJournal, type Token, tokens } from '../transaction/journal.ts';
import { isOpen } from '../transaction/steps.ts';
import { resolveInRoot } from './resolve-in-root.ts';
import { decodeLatch, type Latch } from './latch.ts';
import { stateDirectoryPath } from './private-files.ts';

/** What the agent remembers of a node, without a lock and without making anything. */
export interface StateView {
  /** The transaction that was begun and not ended. */
  readonly open: Journal | undefined;
  /** Who holds the decision over the open transaction. */
  readonly token: Token;
  /** Closed transactions, newest first. */
  readonly history: readonly Journal[];
  readonly latch: Latch | undefined;
  /** Why some of it could not be read. */
  readonly problems: readonly Problem[];
}

/** Reads the state directory below a root; a missing one is a node without a history. Never throws. */
export async function readState(root: string): Promise<StateView> {
  const problems: Problem[] = [];
  const kept = async <T>(read: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      problems.push(problemOf(error));
      return otherwise;
    }
  };
  const directory = await kept(async () => resolveInRoot(root, stateDirectoryPath), undefined);
  if (directory === undefined)
    return { open: undefined, token: 'none', history: [], latch: undefined, problems };

  const journal = await kept(async () => readJournal(path.join(directory, 'journal.json')), undefined);
  const open = journal !== undefined && isOpen(journal.state) ? journal : undefined;
  const ids = await kept(async () => namesIn(path.join(directory, 'backup')), []);
  const history: Journal[] = [];
  for (const id of ids) {
    const found = await kept(
      async () => readJournal(path.join(directory, 'backup', id, 'journal.json')),
      undefined,
    );
    if (found?.verdict !== undefined) history.push(found);
  }
  return {
    open,
    token:
      open === undefined
        ? 'none'
        : await kept(async () => tokenIn(path.join(directory, 'backup', open.id)), 'none'),
    history: history.sort((a, b) => b.startedAtMs - a.startedAtMs || b.id.localeCompare(a.id)),
    latch: await kept(async () => readLatch(path.join(directory, 'latch.json')), undefined),
    problems,
  };
}

async function readJournal(file: string): Promise<Journal | undefined> {
  const text = await textOf(file);
  if (text === undefined) return undefined;
  const parsed = parseJournal(text, file);
  if (parsed.ok) return parsed.journal;
  const { code, message, next } = parsed.problem;
  throw new AgentError(code, message, next === undefined ? {} : { next });
}

async function tokenIn(directory: string): Promise<Token> {
  const names = await namesIn(directory);
  return tokens.find((token) => names.includes(token)) ?? 'none';
}

async function readLatch(file: string): Promise<Latch | undefined> {
  const text = await textOf(file);
  if (text === undefined) return undefined;
  JSON.parse(text);
  return decodeLatch(text);
}

async function textOf(file: string): Promise<string | undefined> {
  return orAbsent(file, async () => readFile(file, 'utf8'), undefined);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return orAbsent(directory, async () => readdir(directory), []);
}

async function orAbsent<T>(file: string, read: () => Promise<T>, absent: T): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return absent;
    throw new AgentError('JOURNAL_UNREADABLE', `${file} cannot be read: ${problemOf(error).message}`, {
      cause: error,
      next: 'run it as root',
    });
  }
}
