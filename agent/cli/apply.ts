import { applyPolicy, type ApplyOutcome } from '../engine/apply.ts';
import { applyToImage, type ImageOutcome } from '../engine/apply-image.ts';
import { unreachable } from '../errors.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { NodeConnection } from '../wire.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, type JsonObject, writeJson } from './json.ts';
import { planJson } from './json-plan.ts';
import { recoveredJson, transactionJson } from './json-transaction.ts';
import { loadPolicy } from './load-policy.ts';
import type { ForceOptions, OutputOptions, PolicyOptions, RootOptions } from './options.ts';
import { openProgress } from './progress.ts';
import { refuse } from './refuse.ts';
import { renderApplied, renderImage } from './render-outcome.ts';
import type { StepRecord } from './steps.ts';
import { underLock } from './under-lock.ts';

export type ApplyArguments = OutputOptions & RootOptions & PolicyOptions & ForceOptions;

/** `apply`: carries the plan out, once, and waits for the verdict. */
export async function apply(context: CliContext, options: ApplyArguments): Promise<ExitCode> {
  const loaded = await loadPolicy(options);
  if (!loaded.ok) return refuse(context, 'apply', options.output, loaded.problems);
  const node = await context.connectNode({ root: options.root });
  try {
    return node.observation.systemd === undefined
      ? await toImage(context, node, loaded.policy, options)
      : await toNode(context, node, loaded.policy, options);
  } finally {
    await node.close();
  }
}

async function toNode(
  context: CliContext,
  node: NodeConnection,
  policy: NodePolicy,
  options: ApplyArguments,
): Promise<ExitCode> {
  const progress = await openProgress(context, options);
  const outcome = await underLock(context, node, progress, async (host) =>
    applyPolicy(host, node.observation, {
      policy,
      force: options.force ?? [],
      requestedBy: context.requestedBy,
      report: progress.report,
      signal: context.signal,
    }),
  );
  const exitCode = codeOf(outcome);
  if (options.output === 'json') writeJson(context, applyJson(context, outcome, exitCode, progress.steps));
  else {
    const sink = exitCode === exitCodes.done ? context.stdout : context.stderr;
    writeLines(sink, renderApplied(outcome, { width: sink.columns, colour: sink.colour }));
  }
  return exitCode;
}

async function toImage(
  context: CliContext,
  node: NodeConnection,
  policy: NodePolicy,
  options: ApplyArguments,
): Promise<ExitCode> {
  const outcome = await applyToImage(node.observation, policy, options.force ?? [], context.clock.now());
  const exitCode = outcome.kind === 'refused' ? exitCodes.refused : exitCodes.done;
  if (options.output === 'json') writeJson(context, imageJson(context, outcome, exitCode));
  else {
    const sink = exitCode === exitCodes.done ? context.stdout : context.stderr;
    writeLines(sink, renderImage(outcome, { width: sink.columns, colour: sink.colour }));
  }
  return exitCode;
}

function codeOf(outcome: ApplyOutcome): ExitCode {
  switch (outcome.kind) {
    case 'converged':
    case 'committed':
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

function applyJson(
  context: CliContext,
  outcome: ApplyOutcome,
  exitCode: ExitCode,
  steps: readonly StepRecord[],
): JsonObject {
  const problems = 'problem' in outcome ? [outcome.problem] : 'problems' in outcome ? outcome.problems : [];
  return {
    ...jsonHead(context, 'apply', { outcome: outcome.kind, exitCode, problems }),
    ...planJson('planned' in outcome ? outcome.planned : undefined),
    steps,
    transaction: 'journal' in outcome ? transactionJson(outcome.journal) : null,
    recovered: recoveredJson(outcome.recovered),
  };
}

function imageJson(context: CliContext, outcome: ImageOutcome, exitCode: ExitCode): JsonObject {
  const problems = outcome.kind === 'refused' ? outcome.problems : [];
  return {
    ...jsonHead(context, 'apply', { outcome: outcome.kind, exitCode, problems }),
    ...planJson(outcome.planned),
    steps: [],
    transaction: null,
    recovered: null,
  };
}
