import { AgentError } from '../errors.ts';
import type { ApiAnswer, ApiClient, ApiClock } from './api-client.ts';
import { type Follower, follow, withQuery } from './follow.ts';
import { field, list, metaOf } from './objects.ts';
import {
  failurePatch,
  leaseOfSlot,
  ownerPatch,
  type SlotLease,
  slotLabel,
  type SlotNode,
  slotName,
  slotOfLease,
} from './slot-lease.ts';

/** The slots of the cluster, as one node uses them. Every call bears being carried out twice. */
export interface Slots {
  /** All slots that this node holds, of whatever policy, as new as the store. */
  own(): Promise<readonly SlotLease[]>;
  /** Keeps the slots of some policies in sight. */
  follow(
    policies: readonly string[],
    changed: () => void,
    troubled: (reason: string | undefined) => void,
  ): Follower<SlotLease>;
  /** Makes a slot this node's own; `lost` when another node was first. */
  take(
    slot: { policy: string; index: number },
    why: { planHash: string; unit: string },
    signal: AbortSignal,
  ): Promise<SlotLease | 'lost'>;
  /** Takes over a slot whose holder's Node is gone; `lost` when somebody was first. */
  takeOver(
    slot: SlotLease,
    why: { planHash: string; unit: string },
    signal: AbortSignal,
  ): Promise<SlotLease | 'lost'>;
  /** Binds an own slot to the Node that has this name now. */
  adopt(slot: SlotLease, signal: AbortSignal): Promise<void>;
  /** Gives a slot back. Deletes that very Lease and no later one of its name. */
  free(slot: SlotLease): Promise<void>;
  markFailed(slot: SlotLease, failure: string): Promise<void>;
  /** Whether the holder's Node is still the one that took the slot. */
  holderExists(slot: SlotLease, signal: AbortSignal): Promise<boolean>;
}

export interface SlotsOptions {
  readonly client: ApiClient;
  readonly clock: ApiClock;
  readonly random: () => number;
  readonly namespace: string;
  /** The uid may have to be asked for first; it changes when the Node is made anew. */
  readonly node: { readonly name: string; readonly uid: () => Promise<string> };
}

/** Slots as Leases: to create one is to take it, which the API server grants to one node only. */
export function leaseSlots(options: SlotsOptions): Slots {
  const { client, clock, random, namespace, node } = options;
  const path = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const pathOf = (slot: { policy: string; index: number }): string =>
    `${path}/${encodeURIComponent(slotName(slot.policy, slot.index))}`;
  const self = async (): Promise<SlotNode> => ({ name: node.name, uid: await node.uid() });
  const since = (): string => new Date(clock.now()).toISOString().replace('Z', '000Z');

  /** A request that was cut and sent again meets what it made itself; a race meets another node's. */
  const ownOrLost = async (
    slot: { policy: string; index: number },
    signal: AbortSignal,
  ): Promise<SlotLease | 'lost'> => {
    const answer = await client.ask({ method: 'GET', path: pathOf(slot) }, { signal });
    const found = answer.kind === 'done' ? slotOfLease(answer.object) : undefined;
    return found?.holder === node.name ? found : 'lost';
  };

  return {
    own: async () => {
      const selector = withQuery(path, { labelSelector: slotLabel });
      const answer = done(await client.ask({ method: 'GET', path: selector }), 'list the slots');
      return list(field(answer, 'items'))
        .map(slotOfLease)
        .filter((slot) => slot !== undefined)
        .filter(({ holder }) => holder === node.name);
    },
    follow: (policies, changed, troubled) =>
      follow({
        client,
        clock,
        random,
        collection: { path, labelSelector: `${slotLabel} in (${policies.join(',')})`, consistent: true },
        decode: slotOfLease,
        changed,
        troubled,
      }),
    take: async (slot, why, signal) => {
      const body = leaseOfSlot(
        { ...slot, failure: undefined },
        await self(),
        { ...why, since: since() },
        namespace,
      );
      const answer = await client.ask({ method: 'POST', path, body }, { signal });
      if (answer.kind === 'done') return slotOfLease(answer.object) ?? 'lost';
      if (answer.status === 409) return answer.unsure ? ownOrLost(slot, signal) : 'lost';
      throw refused(answer, `take slot ${slotName(slot.policy, slot.index)}`);
    },
    takeOver: async (slot, why, signal) => {
      const body = leaseOfSlot(
        { ...slot, failure: undefined },
        await self(),
        { ...why, since: since() },
        namespace,
        slot.resourceVersion,
      );
      const answer = await client.ask({ method: 'PUT', path: pathOf(slot), body }, { signal });
      if (answer.kind === 'done') return slotOfLease(answer.object) ?? 'lost';
      if (answer.status === 404) return 'lost';
      if (answer.status === 409) return answer.unsure ? ownOrLost(slot, signal) : 'lost';
      throw refused(answer, `take over slot ${slot.name}`);
    },
    adopt: async (slot, signal) => {
      const me = await self();
      if (slot.nodeUid === me.uid) return;
      const body = ownerPatch(slot, me);
      done(
        await client.ask({ method: 'PATCH', path: pathOf(slot), body, patch: 'merge' }, { signal }),
        `adopt slot ${slot.name}`,
      );
    },
    free: async (slot) => {
      const body = { preconditions: { uid: slot.uid } };
      const answer = await client.ask({ method: 'DELETE', path: pathOf(slot), body });
      if (answer.kind === 'refused' && answer.status !== 404 && answer.status !== 409) {
        throw refused(answer, `give back slot ${slot.name}`);
      }
    },
    markFailed: async (slot, failure) => {
      if (slot.failure === failure) return;
      const body = failurePatch(slot, failure);
      const answer = await client.ask({ method: 'PATCH', path: pathOf(slot), body, patch: 'merge' });
      if (answer.kind === 'refused' && answer.status !== 404)
        throw refused(answer, `mark slot ${slot.name} as failed`);
    },
    holderExists: async (slot, signal) => {
      const answer = await client.ask(
        { method: 'GET', path: `/api/v1/nodes/${encodeURIComponent(slot.holder)}` },
        { signal },
      );
      if (answer.kind === 'refused') return answer.status !== 404;
      // A new Node of the same name is the same holder: its agent finds the slot and decides.
      return metaOf(answer.object) !== undefined;
    },
  };
}

function done(answer: ApiAnswer, what: string): unknown {
  if (answer.kind === 'refused') throw refused(answer, what);
  return answer.object;
}

function refused(answer: Extract<ApiAnswer, { kind: 'refused' }>, what: string): AgentError {
  return new AgentError('API_REFUSED', `${what}: ${answer.status} ${answer.message}`, {
    next: "check the agent's rights (manifests/base/rbac.yaml) with kubectl auth can-i",
  });
}
