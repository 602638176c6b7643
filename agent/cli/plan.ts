import { hashOf, type Planned, planNode } from '../engine/apply.ts';
import type { Problem } from '../errors.ts';
import { readState, type StateView } from '../host/state-reader.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import { planJson } from './json-plan.ts';
import { loadPolicy } from './load-policy.ts';
import type { ForceOptions, OutputOptions, PolicyOptions, RootOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderPlan } from './render-plan.ts';

export type PlanArguments = OutputOptions & RootOptions & PolicyOptions & ForceOptions;

/** `plan`: looks at the node and says what apply would do. Touches nothing. */
export async function plan(context: CliContext, options: PlanArguments): Promise<ExitCode> {
  const loaded = await loadPolicy(options);
  if (!loaded.ok) return refuse(context, 'plan', options.output, loaded.problems);
  const node = await context.connectNode({ root: options.root });
  try {
    const planned = await planNode(node.observation, loaded.policy, options.force ?? [], context.clock.now());
    const { outcome } = planned;
    const exitCode =
      outcome.kind === 'converged'
        ? exitCodes.done
        : outcome.kind === 'change'
          ? exitCodes.changes
          : exitCodes.refused;
    const problems = outcome.kind === 'refused' ? outcome.problems : [];
    const obstacles = obstaclesOf(await readState(options.root), planned);
    if (options.output === 'json') {
      writeJson(context, {
        ...jsonHead(context, 'plan', { outcome: outcome.kind, exitCode, problems }),
        ...planJson(planned, obstacles),
      });
    } else {
      const view = {
        nodeName: context.nodeName,
        planned,
        policies: loaded.policy.names,
        others: loaded.others,
        obstacles,
      };
      writeLines(
        context.stdout,
        renderPlan(view, { width: context.stdout.columns, colour: context.stdout.colour }),
      );
    }
    return exitCode;
  } finally {
    await node.close();
  }
}

/** What an apply of this plan would meet before its first step. */
function obstaclesOf({ open, latch, problems }: StateView, { outcome }: Planned): readonly Problem[] {
  const latched = outcome.kind === 'change' && latch?.planHash === hashOf(outcome.plan);
  return [
    ...problems,
    ...(open === undefined
      ? []
      : [
          {
            code: 'INTERRUPTED',
            message: `transaction ${open.id} was begun and not ended; apply finishes it first`,
          } as const,
        ]),
    ...(latched
      ? [
          {
            code: 'PLAN_LATCHED',
            message: `apply would refuse: this very change was tried at ${new Date(latch.sinceMs).toISOString()} and rolled back: ${latch.message}`,
            next: 'change the policy or the node, or try it once more with --force PLAN_LATCHED',
          } as const,
        ]
      : []),
  ];
}
