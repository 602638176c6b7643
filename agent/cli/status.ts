import type { Systemd } from '../host/systemd.ts';
import { readSysctlFiles, readUnitOnDisk } from '../engine/observe-disk.ts';
import { observeNode } from '../engine/observe.ts';
import { driftOf } from '../plan/drift.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { policyDefaults } from '../policy/vocabulary.ts';
import { watchdogNames } from '../transaction/watchdog.ts';
import type { NodeConnection } from '../wire.ts';
import { readState, type StateView } from '../host/state-reader.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import { statusJson } from './json-status.ts';
import { blindSpots, driftItems, shownLayers } from './layers.ts';
import { loadPolicy, noPolicy, wantsAnything } from './load-policy.ts';
import type { OutputOptions, PolicyOptions, RootOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderStatus, type StatusView } from './render-status.ts';

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
        : view.items.length + view.blind.length > 0
          ? exitCodes.changes
          : exitCodes.done;
    if (options.output === 'json') {
      const outcome = view.items.length > 0 ? 'drifted' : view.blind.length > 0 ? 'unknown' : 'converged';
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
  const { systemd, files } = node.observation;
  const wanted = policy ?? noPolicy(unit);
  const observed = await observeNode(node.observation, {
    unit,
    sysctls: wanted.sysctls.map(({ name }) => name),
  });
  const drift = driftOf({
    observed,
    policy: wanted,
    unitOnDisk: await readUnitOnDisk(files, observed),
    configz: { kind: 'unknown', reason: 'the kubelet was not asked' },
    sysctlFiles: wanted.sysctls.length === 0 ? [] : await readSysctlFiles(files),
  });
  const layers = shownLayers(drift, observed.mode);
  return {
    nodeName: context.nodeName,
    observed,
    policies: policy?.names,
    layers,
    sysctls: drift.sysctls,
    items: driftItems(drift, layers),
    blind: blindSpots(drift, layers, policy),
    state,
    watchdogArmed: await anyActive(
      systemd,
      watchdogNames.map((name) => `${name}.timer`),
    ),
  };
}

/** Undefined where no systemd can be asked. */
async function anyActive(
  systemd: Systemd | undefined,
  units: readonly string[],
): Promise<boolean | undefined> {
  if (systemd === undefined) return undefined;
  for (const unit of units) if (await systemd.isActive(unit)) return true;
  return false;
}
