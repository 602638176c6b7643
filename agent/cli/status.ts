import { planNode } from '../engine/apply.ts';
import { observeNode } from '../engine/observe.ts';
import type { Notes } from '../plan/plan.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { policyDefaults } from '../policy/vocabulary.ts';
import { watchdogName } from '../transaction/watchdog.ts';
import type { NodeConnection } from '../wire.ts';
import { readState, type StateView } from '../host/state-reader.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import { statusJson } from './json-status.ts';
import { allowlistLayers, blindSpots, driftOf } from './layers.ts';
import { loadPolicy, wantsAnything } from './load-policy.ts';
import type { OutputOptions, PolicyOptions, RootOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderStatus, type StatusView } from './render-status.ts';
import { sysctlSources } from './sysctl-sources.ts';

export type StatusArguments = OutputOptions & RootOptions & PolicyOptions;

/** `status`: the layers of the allowlist, drift, transactions and the watchdog of this node. Touches nothing. */
export async function status(context: CliContext, options: StatusArguments): Promise<ExitCode> {
  const loaded = wantsAnything(options) ? await loadPolicy(options) : undefined;
  if (loaded?.ok === false) return refuse(context, 'status', options.output, loaded.problems);
  const node = await context.connectNode({ root: options.root });
  try {
    const view = await look(context, node, loaded?.policy, options);
    const exitCode =
      view.state.problems.length > 0
        ? exitCodes.needsPerson
        : view.drift.length + view.blind.length > 0
          ? exitCodes.changes
          : exitCodes.done;
    if (options.output === 'json') {
      const outcome = view.drift.length > 0 ? 'drifted' : view.blind.length > 0 ? 'unknown' : 'converged';
      writeJson(context, {
        ...jsonHead(context, 'status', { outcome, exitCode, problems: view.state.problems }),
        ...statusJson(view),
      });
    } else {
      writeLines(
        context.stdout,
        renderStatus(view, { width: context.stdout.columns, colour: context.stdout.colour }),
      );
    }
    return exitCode;
  } finally {
    await node.close();
  }
}

async function look(
  context: CliContext,
  node: NodeConnection,
  policy: NodePolicy | undefined,
  options: StatusArguments,
): Promise<StatusView> {
  const state: StateView = await readState(options.root);
  const unit =
    policy?.unit ?? options.unit ?? (state.open ?? state.history[0])?.plan.unit ?? policyDefaults.unit;
  const { observed, notes } = await seen(node, policy, unit, context.clock.now());
  const layers = allowlistLayers(observed);
  const { systemd, files } = node.observation;
  return {
    nodeName: context.nodeName,
    observed,
    policies: policy?.names,
    layers,
    drift: driftOf(observed, layers, policy, notes.sysctls),
    blind: blindSpots(layers, policy, notes.sysctls),
    sysctls: notes.sysctls,
    sources: await sysctlSources(
      files,
      notes.sysctls.map(({ name }) => name),
    ),
    state,
    watchdogArmed: await systemd?.isActive(`${watchdogName}.timer`),
  };
}

async function seen(
  node: NodeConnection,
  policy: NodePolicy | undefined,
  unit: string,
  nowMs: number,
): Promise<{ observed: StatusView['observed']; notes: Pick<Notes, 'sysctls'> }> {
  if (policy === undefined)
    return { observed: await observeNode(node.observation, { unit, sysctls: [] }), notes: { sysctls: [] } };
  const { observed, outcome } = await planNode(node.observation, policy, [], nowMs);
  return { observed, notes: outcome.notes };
}
