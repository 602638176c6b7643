import type { ErrorCode, Problem } from '../errors.ts';

/** The closed set of exit codes; a Job's podFailurePolicy relies on them. */
export const exitCodes = {
  /** Converged, done, or nothing to do. */
  done: 0,
  internal: 1,
  /** `plan`: there are changes. `status`: there is drift. `audit`: there are findings. */
  changes: 2,
  /** Nothing was touched. */
  refused: 3,
  /** Applied, failed probation, rolled back: the node is as before. */
  rolledBack: 4,
  /** The roll-back failed, or the journal cannot be read. */
  needsPerson: 5,
  usage: 64,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The exit code for a problem that stopped a command before it touched the node. */
export function exitCodeOf(problem: Problem): ExitCode {
  return special[problem.code] ?? exitCodes.refused;
}

const special: Readonly<Partial<Record<ErrorCode, ExitCode>>> = {
  USAGE: exitCodes.usage,
  INTERNAL: exitCodes.internal,
  JOURNAL_UNREADABLE: exitCodes.needsPerson,
  ROLLBACK_FAILED: exitCodes.needsPerson,
};

/** What `--help` says of them. */
export const exitCodeHelp: Readonly<Record<ExitCode, string>> = {
  0: 'done, or nothing to do',
  1: 'internal error',
  2: 'plan: there are changes; status: there is drift; audit: there are findings',
  3: 'refused, nothing was touched',
  4: 'failed probation and rolled back; the node is as before',
  5: 'needs a person: the roll-back failed, or the journal cannot be read',
  64: 'wrong usage',
};
