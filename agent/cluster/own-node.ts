import { type Follower, follow } from './follow.ts';
import { startupTaint } from './node-labels.ts';
import { field, list, metaOf, text } from './objects.ts';
import type { ClusterPorts } from './ports.ts';

/** What the agent needs of its own Node. */
export interface OwnNode {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The failed transaction that a person wants tried once more. */
  readonly retry: string | undefined;
  /** As the API server has them; null where there are none. */
  readonly taints: readonly unknown[] | null;
}

/** On a Node: the id of a transaction. People set it; the agent has no right to. */
export const retryAnnotation = 'sysctl-agent.dev/retry';

/** Keeps this agent's Node in sight, by one watch of one object. */
export function followNode(
  ports: ClusterPorts,
  name: string,
  changed: () => void,
  troubled: (reason: string | undefined) => void,
): Follower<OwnNode> {
  return follow({
    ...ports,
    collection: { path: '/api/v1/nodes', fieldSelector: `metadata.name=${name}`, consistent: false },
    decode: nodeOfObject,
    changed,
    troubled,
  });
}

/** Reads a Node; undefined for what is none. Never throws. */
export function nodeOfObject(object: unknown): OwnNode | undefined {
  const meta = metaOf(object);
  if (meta === undefined) return undefined;
  const taints = field(field(object, 'spec'), 'taints');
  return {
    name: meta.name,
    uid: meta.uid,
    labels: meta.labels,
    retry: meta.annotations[retryAnnotation],
    taints: Array.isArray(taints) ? taints : null,
  };
}

/** Changes labels; null removes one. @throws AgentError API_UNREACHABLE. */
export async function changeLabels(
  { client, log }: ClusterPorts,
  node: string,
  labels: Readonly<Record<string, string | null>>,
  signal?: AbortSignal,
): Promise<void> {
  if (Object.keys(labels).length === 0) return;
  const answer = await client.ask(
    { method: 'PATCH', path: pathOf(node), body: { metadata: { labels } }, patch: 'merge' },
    signal === undefined ? {} : { signal },
  );
  if (answer.kind === 'refused')
    log('warn', 'labelsRefused', { node, status: answer.status }, answer.message);
  else log('info', 'labelsChanged', { node, labels }, 'the labels of the node follow its kubelet');
}

/**
 * Removes the start-up taint, and only if the taints are still the ones that were seen: others are added to a node at
 * any time. Where they are not, the watch brings the new ones and the next report tries again.
 */
export async function removeStartupTaint({ client, log }: ClusterPorts, node: OwnNode): Promise<void> {
  const { taints } = node;
  if (taints === null || !taints.some(isStartupTaint)) return;
  const body = [
    { op: 'test', path: '/spec/taints', value: taints },
    { op: 'replace', path: '/spec/taints', value: taints.filter((taint) => !isStartupTaint(taint)) },
  ];
  const answer = await client.ask({ method: 'PATCH', path: pathOf(node.name), body, patch: 'json' });
  if (answer.kind === 'refused') {
    log('warn', 'taintNotRemoved', { node: node.name, status: answer.status }, answer.message);
  } else {
    log('info', 'taintRemoved', { node: node.name }, `${startupTaint} was removed: the kubelet is proven`);
  }
}

/** Whether a node carries the start-up taint. */
export function hasStartupTaint({ taints }: OwnNode): boolean {
  return list(taints).some(isStartupTaint);
}

function isStartupTaint(taint: unknown): boolean {
  return text(taint, 'key') === startupTaint;
}

function pathOf(node: string): string {
  return `/api/v1/nodes/${encodeURIComponent(node)}`;
}
