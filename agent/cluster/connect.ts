import type { RetrySource } from '../engine/loop-ports.ts';
import type { Problem } from '../errors.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { connectPod, type PodOptions } from './connect-pod.ts';
import { countForbidden } from './forbidden-pods.ts';
import { followNode, type OwnNode } from './own-node.ts';
import { followPods, type NodePods } from './pods.ts';
import { type ClusterPolicies, followPolicies } from './policies.ts';
import type { ClusterLog, ClusterPorts } from './ports.ts';
import { type NodeReporter, nodeReporter } from './reporter.ts';
import { type SlotGate, slotGate, type SlotView } from './slot-gate.ts';
import { leaseSlots } from './slots.ts';

/** A node's agent in its cluster. */
export interface ClusterConnection {
  readonly gate: SlotGate;
  readonly reporter: NodeReporter;
  readonly pods: NodePods;
  readonly policies: ClusterPolicies;
  readonly retry: RetrySource;
  /** Undefined until they were read. */
  nodeLabels(): Readonly<Record<string, string>> | undefined;
  slot(): SlotView;
  /** Calls back when a halt may have ended: the gate is worth asking again. */
  onSlotChange(changed: () => void): void;
  /** Requests sent so far. */
  requests(): number;
  close(): void;
}

export interface ClusterOptions extends PodOptions {
  readonly log: ClusterLog;
  /** Policies from files and flags, beside those of the cluster. */
  readonly morePolicies?: () => Promise<{
    readonly policies: readonly PolicyDocument[];
    readonly problems: readonly Problem[];
  }>;
  /** Delete leftover pods of SysctlForbidden, at most one in this time; undefined leaves them. */
  readonly cleanEveryMs?: number;
}

/**
 * Connects the agent of one node with its cluster; it waits for nothing, and what the API server does not answer yet
 * comes later. Undefined, with a loud reason, outside of a cluster. @throws AgentError API_UNREACHABLE where the service
 * account of this pod cannot be read.
 */
export async function connectCluster(options: ClusterOptions): Promise<ClusterConnection | undefined> {
  const { nodeName, clock, random, log } = options;
  const pod = await connectPod(options);
  if (pod === undefined) {
    log(
      'warn',
      'noCluster',
      {},
      'no API server: KUBERNETES_SERVICE_HOST is not set. maxUnavailable and maxFailed are not enforced, nothing is reported, and no pods are known',
    );
    return undefined;
  }
  const { client, namespace } = pod;
  const ports: ClusterPorts = { client, clock, random, log };
  const listeners = new Set<() => void>();
  const retryListeners = new Set<() => void>();
  const nodeSeen = Promise.withResolvers<OwnNode>();

  const ownNode = (): OwnNode | undefined => node.current()?.objects.get(`/${nodeName}`);
  let seen = '';
  let retry: string | undefined;
  const node = followNode(
    ports,
    nodeName,
    () => {
      const now = ownNode();
      if (now !== undefined) nodeSeen.resolve(now);
      // Most changes of a Node are its kubelet's heartbeats.
      const next = JSON.stringify([now?.labels, now?.taints]);
      if (now?.retry !== retry) {
        retry = now?.retry;
        for (const listener of retryListeners) listener();
      }
      if (next === seen) return;
      seen = next;
      policies.labelsChanged();
      reporter.refresh();
    },
    (reason) => {
      if (reason !== undefined) log('warn', 'nodeNotWatched', { node: nodeName }, reason);
    },
  );
  const policies = followPolicies(ports, {
    nodeLabels: () => ownNode()?.labels,
    ...(options.morePolicies === undefined ? {} : { more: options.morePolicies }),
  });
  const pods = followPods(ports, {
    node: nodeName,
    ...(options.cleanEveryMs === undefined ? {} : { cleanEveryMs: options.cleanEveryMs }),
  });
  const gate = slotGate({
    slots: leaseSlots({
      client,
      clock,
      random,
      namespace,
      node: { name: nodeName, uid: async () => (ownNode() ?? (await nodeSeen.promise)).uid },
    }),
    clock,
    random,
    node: nodeName,
    beforeGrant: async (signal) => reporter.beforeRisk(signal),
    changed: () => {
      reporter.refresh();
      for (const listener of listeners) listener();
    },
    warn: (message) => {
      log('warn', 'slot', {}, message);
    },
  });
  const forbidden = (): ReturnType<typeof countForbidden> => {
    const known = pods.pods();
    return known.kind === 'known' ? countForbidden(known.forbidden) : [];
  };
  const reporter = nodeReporter(ports, {
    agentVersion: options.agentVersion,
    node: ownNode,
    slot: () => gate.view(),
    forbidden,
    policies: () => policies.selected(),
    policyHash: () => policies.hash(),
    generations: () => policies.generations(),
  });
  pods.onChange(() => {
    reporter.refresh();
  });

  return {
    gate,
    reporter,
    pods,
    policies,
    nodeLabels: () => ownNode()?.labels,
    retry: {
      transaction: () => retry,
      onChange: (changed) => {
        retryListeners.add(changed);
      },
    },
    slot: () => gate.view(),
    onSlotChange: (changed) => {
      listeners.add(changed);
    },
    requests: () => client.requests(),
    close: () => {
      for (const part of [gate, reporter, pods, policies, node, client]) part.close();
    },
  };
}
