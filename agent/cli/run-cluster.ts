import type { ClusterConnection } from '../cluster/connect.ts';
import type { RolloutGate } from '../engine/gate.ts';
import { type LoopLog, type LoopPorts, noRetry, type PolicySource } from '../engine/loop-ports.ts';
import { noPods, noReporter } from '../engine/reporter.ts';
import type { CliContext } from './context.ts';
import { type PolicyOptions, statesPolicy } from './options.ts';
import type { RunArguments } from './run-options.ts';

/** What `run` gets from the cluster, where it is in one; otherwise from files, with a spread start as only caution. */
export interface FleetPorts extends Pick<LoopPorts, 'gate' | 'reporter' | 'pods' | 'policies' | 'retry'> {
  /** Ends every watch, so that the process can end. */
  readonly leave: () => void;
}

export interface Alone {
  readonly gate: RolloutGate;
  readonly policies: PolicySource;
}

/** With a cluster, policies of files and flags count beside those of the cluster. */
export async function fleetPorts(
  context: Pick<CliContext, 'connectCluster'>,
  options: PolicyOptions & Pick<RunArguments, 'deleteRejectedPods' | 'dryRun'>,
  log: LoopLog,
  random: () => number,
  alone: Alone,
): Promise<FleetPorts> {
  const cluster = await context.connectCluster({
    log,
    random,
    // A dry run changes nothing, in the cluster either.
    ...(options.deleteRejectedPods === undefined || options.dryRun === true
      ? {}
      : { cleanEveryMs: options.deleteRejectedPods }),
    // Here and not above: most nodes of a cluster have no files to read, and the reader of YAML is paid by those who do.
    ...(statesPolicy(options)
      ? { morePolicies: async () => (await import('./load-documents.ts')).loadDocuments(options) }
      : {}),
  });
  if (cluster === undefined)
    return { ...alone, reporter: noReporter, pods: noPods, retry: noRetry, leave: () => undefined };
  return {
    gate: cluster.gate,
    reporter: cluster.reporter,
    pods: cluster.pods,
    retry: cluster.retry,
    policies: policiesOf(cluster, alone.policies.files),
    leave: () => {
      cluster.close();
    },
  };
}

/** A halt that ends lets the loop look again, just as a policy that changes. */
function policiesOf(cluster: ClusterConnection, files: readonly string[]): PolicySource {
  return {
    files,
    load: async () => cluster.policies.load(),
    onChange(changed) {
      cluster.policies.onChange(changed);
      let halted = false;
      cluster.onSlotChange(() => {
        const now = cluster.slot().kind === 'halted';
        // Only the end of a halt: every other move of the slots is the gate's own, and a new look would give them up.
        if (halted && !now) changed();
        halted = now;
      });
    },
  };
}
