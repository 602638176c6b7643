import type { ErrorCode, Problem } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import { type TransactionState, transactionStates } from './steps.ts';

/** How a transaction ended. */
export interface Verdict {
  readonly kind: 'committed' | 'rolledBack' | 'broken';
  readonly code: ErrorCode | undefined;
  readonly message: string;
  /** Who decided: the agent, the host's watchdog in its place, or a person's `rollback`. */
  readonly by: 'agent' | 'watchdog' | 'person';
  /** Files that somebody else had changed meanwhile; their content is kept beside the backup. */
  readonly keptForeignFiles: readonly string[];
}

/** The kubelet as it was before the transaction. */
export interface Baseline {
  readonly mainPid: number;
  readonly invocationId: string;
}

/** One transaction, from its first byte on disk to its verdict. Times are milliseconds since the epoch. */
export interface Journal {
  readonly schema: 1;
  readonly id: string;
  readonly kind: 'apply' | 'rollback';
  /** For a rollback: the transaction that it undoes. */
  readonly undoes: string | undefined;
  readonly planHash: string;
  readonly state: TransactionState;
  readonly startedAtMs: number;
  readonly updatedAtMs: number;
  readonly bootId: string;
  readonly requestedBy: string;
  readonly plan: Plan;
  readonly baseline: Baseline | undefined;
  readonly watchdogAfterMs: number;
  /** Directories that this transaction made for its files, the innermost first; removed once they are empty again. */
  readonly madeDirectories?: readonly string[];
  /** The agent asked systemd for the restart, whatever became of that. */
  readonly restartTried?: boolean;
  readonly verdict: Verdict | undefined;
}

/** The marker files of `backup/ID/`: who renames `armed` decides the transaction, and only one can. */
export type Token = 'none' | 'armed' | 'committed' | 'fired' | 'reverting' | 'restored';

export const tokens = [
  'committed',
  'restored',
  'fired',
  'reverting',
  'armed',
] as const satisfies readonly Token[];

/** `JOURNAL_UNREADABLE` unless the text is a journal that this version wrote. */
export function parseJournal(
  text: string,
  path: string,
): { ok: true; journal: Journal } | { ok: false; problem: Problem } {
  const problem = (why: string): { ok: false; problem: Problem } => ({
    ok: false,
    problem: {
      code: 'JOURNAL_UNREADABLE',
      message: `${path}: ${why}`,
      where: { file: path },
      next: 'look at the node and at the backup directory beside it, put the unit right by hand, then move the journal away',
    },
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return problem(`not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof value !== 'object' || value === null) return problem('not an object');
  if (!('schema' in value) || value.schema !== 1) return problem('written by another version of the agent');
  const wrong = Object.entries(fields).filter(([key, holds]) => !holds(Reflect.get(value, key)));
  if (wrong.length > 0) return problem(`without a usable ${wrong.map(([key]) => key).join(', ')}`);
  return { ok: true, journal: value as Journal };
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isTime = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value);
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** What recovery relies on; a journal without it is for a person to read. */
const fields: Readonly<Record<string, (value: unknown) => boolean>> = {
  // It names a directory.
  id: (value) => typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value),
  kind: (value) => value === 'apply' || value === 'rollback',
  planHash: isText,
  state: (value) => transactionStates.some((state) => state === value),
  startedAtMs: isTime,
  bootId: isText,
  watchdogAfterMs: isTime,
  plan: (value) =>
    isObject(value) &&
    isText(Reflect.get(value, 'unit')) &&
    ['files', 'sysctlWrites'].every((key) => Array.isArray(Reflect.get(value, key))) &&
    ['reload', 'restart'].every((key) => typeof Reflect.get(value, key) === 'boolean'),
  madeDirectories: (value) => value === undefined || (Array.isArray(value) && value.every(isText)),
  baseline: (value) => value === undefined || (isObject(value) && isText(Reflect.get(value, 'invocationId'))),
  verdict: (value) => value === undefined || (isObject(value) && isText(Reflect.get(value, 'kind'))),
};

/** One line of audit.jsonl. */
export interface AuditLine {
  readonly at: string;
  readonly id: string;
  readonly kind: 'apply' | 'rollback';
  readonly requestedBy: string;
  readonly planHash: string;
  readonly unit: string;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly files: readonly {
    readonly path: string;
    readonly before: string | null;
    readonly after: string | null;
  }[];
  readonly verdict: Verdict['kind'];
  readonly by: Verdict['by'];
  readonly code?: ErrorCode;
  readonly message: string;
}
