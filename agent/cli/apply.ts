import type { SlotConnection } from '../cluster/connect-slots.ts';
import { applyPolicy, type ApplyOutcome } from '../engine/apply.ts';
import { applyToImage, type ImageOutcome } from '../engine/apply-image.ts';
import { unreachable } from '../errors.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { NodeConnection } from '../wire.ts';
import { permitBySlot, settleSlot } from './apply-slots.ts';
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

export type ApplyArguments = OutputOptions &
  RootOptions &
  PolicyOptions &
  ForceOptions & {
    /** One node of a fleet, which waits for its turn. */
    readonly slots?: boolean;
  };

/** `apply`: carries the plan out, once, and waits for the verdict. */
export async function apply(context: CliContext, options: ApplyArguments): Promise<ExitCode> {
  const slots = options.slots === true ? await connectSlots(context) : undefined;
  try {
    const nodeLabels = options.nodeLabels ?? slots?.node.labels;
    const loaded = await loadPolicy({ ...options, ...(nodeLabels === undefined ? {} : { nodeLabels }) });
    if (!loaded.ok) return refuse(context, 'apply', options.output, loaded.problems);
    const node = await context.connectNode({ root: options.root });
    try {
      return node.observation.systemd === undefined
        ? await toImage(context, node, loaded.policy, options)
        : await toNode(context, node, loaded.policy, options, slots);
    } finally {
      await node.close();
    }
  } finally {
    slots?.close();
  }
}

async function connectSlots(context: CliContext): Promise<SlotConnection> {
  return context.connectSlots({
    warn: (message) => {
      writeLines(context.stderr, [message]);
    },
  });
}

async function toNode(
  context: CliContext,
  node: NodeConnection,
  policy: NodePolicy,
  options: ApplyArguments,
  slots: SlotConnection | undefined,
): Promise<ExitCode> {
  const progress = await openProgress(context, options);
  const say = (line: string): void => {
    if (options.output === 'text') writeLines(context.stdout, [line]);
  };
  // The lock first: who holds it is the only one to use, or to give back, the slots of this node.
  const outcome = await underLock(context, node, progress, async (host) => {
    const ended = await applyPolicy(host, node.observation, {
      policy,
      force: options.force ?? [],
      requestedBy: context.requestedBy,
      ...(slots === undefined ? {} : { permit: permitBySlot(slots, policy, context.signal, say) }),
      report: progress.report,
      signal: context.signal,
    });
    // What ended without a verdict keeps its slot: nobody knows how the node stands.
    if (slots !== undefined) await settleSlot(slots, ended, context.signal);
    return ended;
  });
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
