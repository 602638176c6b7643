import { AgentError } from '../errors.ts';
import type { ApiClient, ApiClock } from './api-client.ts';
import { follow, withQuery } from './follow.ts';
import { field, list, metaOf } from './objects.ts';
import { type SlotLease, slotLabel, slotOfLease } from './slot-lease.ts';
import { type NodeStatus, statusPath } from './status-schema.ts';

/** One node as `status --cluster` shows it. */
export interface FleetNode {
  readonly name: string;
  /** Undefined for a status that an agent of another version wrote. */
  readonly status: NodeStatus | undefined;
}

export interface Fleet {
  readonly nodes: readonly FleetNode[];
  readonly slots: readonly SlotLease[];
}

/** Reads all statuses and slots. @throws AgentError API_UNREACHABLE, or API_REFUSED with what was not allowed. */
export async function readFleet(client: ApiClient, namespace: string): Promise<Fleet> {
  const [nodes, leases] = await Promise.all([
    listAll(client, statusPath, {}),
    listAll(client, leasesIn(namespace), { labelSelector: slotLabel }),
  ]);
  return fleetOf(
    nodes.flatMap((object) => nodeOfStatus(object) ?? []),
    leases.flatMap((object) => slotOfLease(object) ?? []),
  );
}

/** Keeps the fleet in sight, by two watches; calls back with the whole of it after each change. */
export function followFleet(
  ports: { readonly client: ApiClient; readonly clock: ApiClock; readonly random: () => number },
  namespace: string,
  changed: (fleet: Fleet, trouble: string | undefined) => void,
): { close(): void } {
  const tell = (): void => {
    const [seen, held] = [nodes.current(), slots.current()];
    if (seen === undefined || held === undefined) return;
    changed(
      fleetOf([...seen.objects.values()], [...held.objects.values()]),
      nodes.trouble() ?? slots.trouble(),
    );
  };
  const common = { ...ports, changed: tell, troubled: tell };
  const nodes = follow({
    ...common,
    collection: { path: statusPath, consistent: true },
    decode: nodeOfStatus,
  });
  const slots = follow({
    ...common,
    collection: { path: leasesIn(namespace), labelSelector: slotLabel, consistent: true },
    decode: slotOfLease,
  });
  return {
    close: () => {
      nodes.close();
      slots.close();
    },
  };
}

function fleetOf(nodes: readonly FleetNode[], slots: readonly SlotLease[]): Fleet {
  return {
    nodes: [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1)),
    slots: [...slots].sort((a, b) =>
      a.policy === b.policy ? a.index - b.index : a.policy < b.policy ? -1 : 1,
    ),
  };
}

function nodeOfStatus(object: unknown): FleetNode | undefined {
  const name = metaOf(object)?.name;
  return name === undefined ? undefined : { name, status: statusOfObject(object) };
}

function leasesIn(namespace: string): string {
  return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
}

/** The status within an object, where it has the shape that the API server enforces. */
export function statusOfObject(object: unknown): NodeStatus | undefined {
  const status = field(object, 'status');
  const complete =
    ['state', 'policy', 'observedAt', 'message'].every((key) => typeof field(status, key) === 'string') &&
    ['drift', 'layers', 'conditions', 'forbiddenPods'].every((key) => Array.isArray(field(status, key))) &&
    typeof field(status, 'driftCount') === 'number' &&
    typeof field(status, 'slot') === 'object';
  return complete ? (status as NodeStatus) : undefined;
}

async function listAll(
  client: ApiClient,
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let next = '';
  do {
    const page = { ...query, limit: '500', ...(next === '' ? {} : { continue: next }) };
    const answer = await client.ask({ method: 'GET', path: withQuery(path, page) });
    if (answer.kind === 'refused') {
      throw new AgentError('API_REFUSED', `list ${path}: ${answer.status} ${answer.message}`, {
        next: answer.status === 404 ? 'install manifests/crds' : 'ask for the role kubelet-sysctl-agent-view',
      });
    }
    items.push(...list(field(answer.object, 'items')));
    const more = field(field(answer.object, 'metadata'), 'continue');
    next = typeof more === 'string' ? more : '';
  } while (next !== '');
  return items;
}
