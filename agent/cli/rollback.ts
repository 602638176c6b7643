import { rollBackLast, type RollBackLastOutcome } from '../engine/roll-back-last.ts';
import { unreachable } from '../errors.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import { transactionJson } from './json-transaction.ts';
import type { ForceOptions, OutputOptions, RootOptions } from './options.ts';
import { openProgress } from './progress.ts';
import { renderRolledBack } from './render-outcome.ts';
import { underLock } from './under-lock.ts';

export type RollbackArguments = OutputOptions & RootOptions & ForceOptions;

/** `rollback`: puts back what the last committed apply replaced, or takes an interrupted one back. */
export async function rollback(context: CliContext, options: RollbackArguments): Promise<ExitCode> {
  const node = await context.connectNode({ root: options.root });
  try {
    const progress = await openProgress(context, options);
    const outcome = await underLock(context, node, progress, async (host) =>
      rollBackLast(host, node.observation, {
        force: options.force ?? [],
        requestedBy: context.requestedBy,
        report: progress.report,
        signal: context.signal,
      }),
    );
    const exitCode = codeOf(outcome);
    if (options.output === 'json') {
      const problems =
        'problem' in outcome ? [outcome.problem] : 'problems' in outcome ? outcome.problems : [];
      writeJson(context, {
        ...jsonHead(context, 'rollback', { outcome: outcome.kind, exitCode, problems }),
        warnings: outcome.kind === 'committed' ? outcome.warnings : [],
        steps: progress.steps,
        transaction: 'journal' in outcome ? transactionJson(outcome.journal) : null,
      });
    } else {
      const sink = exitCode === exitCodes.done ? context.stdout : context.stderr;
      writeLines(sink, renderRolledBack(outcome, { width: sink.columns, colour: sink.colour }));
    }
    return exitCode;
  } finally {
    await node.close();
  }
}

function codeOf(outcome: RollBackLastOutcome): ExitCode {
  switch (outcome.kind) {
    case 'committed':
    case 'finished':
      return exitCodes.done;
    case 'refused':
      return exitCodes.refused;
    case 'rolledBack':
      return exitCodes.rolledBack;
    case 'broken':
      return exitCodes.needsPerson;
    default:
      return unreachable(outcome);
  }
}
