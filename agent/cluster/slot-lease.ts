import type { HeldSlot } from '../rollout/slot-rules.ts';
import { field, metaOf, text } from './objects.ts';

/** Marks the Leases that are slots, with the policy's name as its value. */
export const slotLabel = 'sysctl-agent.dev/slot-of';

const annotations = {
  index: 'sysctl-agent.dev/slot-index',
  plan: 'sysctl-agent.dev/plan-hash',
  unit: 'sysctl-agent.dev/unit',
  failure: 'sysctl-agent.dev/failure',
} as const;

/** A slot as it stands in the cluster. */
export interface SlotLease extends HeldSlot {
  /** The Lease's name. */
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** When it was taken, as RFC 3339; empty where the Lease does not say. */
  readonly since: string;
  /** The Node that owns the Lease. */
  readonly nodeUid: string | undefined;
}

export interface SlotNode {
  readonly name: string;
  readonly uid: string;
}

/** The name of the Lease that is this slot: whoever can create it has the slot. */
export function slotName(policy: string, index: number): string {
  return `slot.${policy}.${index}`;
}

/** Reads a Lease; undefined for one that is no slot, or that nobody holds. */
export function slotOfLease(object: unknown): SlotLease | undefined {
  const meta = metaOf(object);
  const spec = field(object, 'spec');
  const holder = text(spec, 'holderIdentity');
  const policy = meta?.labels[slotLabel];
  const index = Number(meta?.annotations[annotations.index] ?? Number.NaN);
  if (meta === undefined || policy === undefined || holder === undefined || holder === '') return undefined;
  if (!Number.isSafeInteger(index) || index < 0) return undefined;
  return {
    policy,
    index,
    holder,
    failure: meta.annotations[annotations.failure],
    name: meta.name,
    uid: meta.uid,
    resourceVersion: meta.resourceVersion,
    since: text(spec, 'acquireTime') ?? '',
    nodeUid: ownerOf(object),
  };
}

/**
 * The Lease that takes a slot. It belongs to the holder's Node, so that the cluster's garbage collector deletes it with
 * the Node: that, and not time, is what frees the slot of a node that is gone.
 */
export function leaseOfSlot(
  slot: Pick<HeldSlot, 'policy' | 'index' | 'failure'>,
  node: SlotNode,
  why: { readonly planHash: string; readonly unit: string; readonly since: string },
  namespace: string,
  resourceVersion?: string,
): object {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: slotName(slot.policy, slot.index),
      namespace,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      labels: { 'app.kubernetes.io/name': 'kubelet-sysctl-agent', [slotLabel]: slot.policy },
      annotations: {
        [annotations.index]: String(slot.index),
        [annotations.plan]: why.planHash,
        [annotations.unit]: why.unit,
        ...(slot.failure === undefined ? {} : { [annotations.failure]: slot.failure }),
      },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid }],
    },
    spec: { holderIdentity: node.name, acquireTime: why.since },
  };
}

/** What marks a slot as kept by a failed node: a merge patch of that very Lease, refused for a later one of its name. */
export function failurePatch({ uid }: SlotLease, failure: string): object {
  return { metadata: { uid, annotations: { [annotations.failure]: failure } } };
}

/** What gives a slot that a node of this name held to the Node that bears the name now. */
export function ownerPatch({ uid }: SlotLease, node: SlotNode): object {
  return {
    metadata: {
      uid,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid }],
    },
  };
}

function ownerOf(object: unknown): string | undefined {
  const owners = field(field(object, 'metadata'), 'ownerReferences');
  if (!Array.isArray(owners)) return undefined;
  const owner: unknown = owners.find((each: unknown) => text(each, 'kind') === 'Node');
  return text(owner, 'uid');
}
