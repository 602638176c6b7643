import type { Fleet, FleetNode } from '../cluster/fleet.ts';
import { isDone } from './render-cluster.ts';

/** The part of `status --cluster` behind the head. */
export function fleetJson({ nodes, slots }: Fleet): Readonly<Record<string, unknown>> {
  return {
    summary: {
      nodes: nodes.length,
      converged: nodes.filter(isDone).length,
      drifted: nodes.filter(({ status }) => (status?.driftCount ?? 0) > 0).length,
      states: countStates(nodes),
    },
    nodes: nodes.map(({ name, status }) => ({ name, status: statusJson(status) })),
    slots: slots.map(({ policy, index, holder, failure, since }) => ({
      policy,
      index,
      holder,
      since: since === '' ? null : since,
      failure: failure ?? null,
    })),
  };
}

function countStates(nodes: readonly FleetNode[]): Readonly<Record<string, number>> {
  const states: Record<string, number> = {};
  for (const { status } of nodes) {
    const state = status?.state ?? 'unknown';
    states[state] = (states[state] ?? 0) + 1;
  }
  return states;
}

/** As the custom resource has it, but what may be absent there is null here. */
function statusJson(status: FleetNode['status']): object | null {
  if (status === undefined) return null;
  const { lastTransaction, latched, policies, ...same } = status;
  return {
    ...same,
    policies: policies.map(({ name, observedGeneration }) => ({
      name,
      observedGeneration: observedGeneration ?? null,
    })),
    lastTransaction: lastTransaction ?? null,
    latched: latched ?? null,
  };
}
