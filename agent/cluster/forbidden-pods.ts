import { normaliseName } from '../sysctl/names.ts';
import { kubeletNamespace } from '../sysctl/namespaced.ts';
import { field, list, metaOf, text } from './objects.ts';

/** A pod of this node that has to do with sysctls. */
export type PodOfNode =
  | {
      readonly kind: 'running';
      readonly namespace: string;
      readonly name: string;
      readonly uid: string;
      /** In the pod's spelling. */
      readonly sysctls: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'forbidden';
      readonly namespace: string;
      readonly name: string;
      readonly uid: string;
      /** The names that were not allowed. */
      readonly sysctls: readonly string[];
      /** A controller replaces it: it is only a leftover. */
      readonly controlled: boolean;
      readonly createdAtMs: number;
    };

/** Rejected pods of one namespace that lack one entry. */
export interface ForbiddenCount {
  readonly namespace: string;
  readonly sysctl: string;
  readonly pods: number;
}

/**
 * What the agent needs to know of a pod; undefined for one that states no sysctls or has ended. A pod that is bound to
 * the node counts as running before its containers do: the kubelet would reject it as well.
 */
export function podOfObject(object: unknown): PodOfNode | undefined {
  const meta = metaOf(object);
  if (meta === undefined) return undefined;
  const sysctls = statedSysctls(field(object, 'spec'));
  const status = field(object, 'status');
  const phase = text(status, 'phase');
  const { name, uid } = meta;
  const namespace = meta.namespace ?? '';
  if (text(status, 'reason') === 'SysctlForbidden') {
    const owners = list(field(field(object, 'metadata'), 'ownerReferences'));
    const created = Date.parse(text(field(object, 'metadata'), 'creationTimestamp') ?? '');
    return {
      kind: 'forbidden',
      namespace,
      name,
      uid,
      sysctls: forbiddenNames(text(status, 'message') ?? '', Object.keys(sysctls)),
      controlled: owners.some((owner) => field(owner, 'controller') === true),
      createdAtMs: Number.isFinite(created) ? created : 0,
    };
  }
  if (phase === 'Succeeded' || phase === 'Failed' || Object.keys(sysctls).length === 0) return undefined;
  return { kind: 'running', namespace, name, uid, sysctls };
}

function statedSysctls(spec: unknown): Readonly<Record<string, string>> {
  // No kubelet admits a pod that would set them in the node's own namespaces: they are never in use.
  const ofTheNode = [
    ...(field(spec, 'hostNetwork') === true ? ['net'] : []),
    ...(field(spec, 'hostIPC') === true ? ['ipc'] : []),
  ];
  return Object.fromEntries(
    list(field(field(spec, 'securityContext'), 'sysctls')).flatMap((each) => {
      const name = text(each, 'name');
      if (name === undefined || ofTheNode.includes(kubeletNamespace(name, 'prefixes') ?? '')) return [];
      return [[name, text(each, 'value') ?? '']];
    }),
  );
}

/**
 * The names that a kubelet did not allow, from its message (`forbidden sysctl: "NAME" not allowlisted`; up to 1.21
 * `not whitelisted`), which names the first of them; where it names none, every sysctl that the pod states.
 */
export function forbiddenNames(message: string, stated: readonly string[]): readonly string[] {
  const named = [...message.matchAll(/"((?:[^"\\]|\\.)*)" not (?:allow|white)listed/g)].map(
    ([, name = '']) => name,
  );
  return (named.length === 0 ? stated : named).map(normaliseName);
}

/** Counts rejected pods by what they lack, the most frequent first. */
export function countForbidden(pods: readonly PodOfNode[]): readonly ForbiddenCount[] {
  const counts = new Map<string, ForbiddenCount>();
  for (const pod of pods) {
    if (pod.kind !== 'forbidden') continue;
    for (const sysctl of new Set(pod.sysctls)) {
      const key = `${pod.namespace} ${sysctl}`;
      const known = counts.get(key) ?? { namespace: pod.namespace, sysctl, pods: 0 };
      counts.set(key, { ...known, pods: known.pods + 1 });
    }
  }
  return [...counts.values()].sort(
    (a, b) => b.pods - a.pods || (a.namespace + a.sysctl < b.namespace + b.sysctl ? -1 : 1),
  );
}

/**
 * Rejected pods that may be deleted, the oldest first: a controller has made others in their place, and they only fill
 * the cluster. The youngest of each namespace and sysctl stays, so that the reason can be read. Never a pod without a
 * controller: it is somebody's only copy.
 */
export function leftovers(pods: readonly PodOfNode[]): readonly Extract<PodOfNode, { kind: 'forbidden' }>[] {
  const controlled = pods
    .filter((pod) => pod.kind === 'forbidden')
    .filter((pod) => pod.controlled)
    .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.uid < b.uid ? -1 : 1));
  const youngest = new Map(
    controlled.map((pod) => [`${pod.namespace} ${[...pod.sysctls].sort().join()}`, pod.uid]),
  );
  const spared = new Set(youngest.values());
  return controlled.filter(({ uid }) => !spared.has(uid));
}
