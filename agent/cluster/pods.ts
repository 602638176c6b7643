import { type Follower, follow } from './follow.ts';
import { leftovers, podOfObject, type PodOfNode } from './forbidden-pods.ts';
import type { ClusterPorts } from './ports.ts';

/** What the API server knows of this node's pods, in the shape of engine/reporter.ts. */
export type KnownPods =
  | {
      readonly kind: 'known';
      readonly running: readonly Extract<PodOfNode, { kind: 'running' }>[];
      readonly forbidden: readonly Extract<PodOfNode, { kind: 'forbidden' }>[];
    }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface NodePods {
  pods(): KnownPods;
  onChange(changed: () => void): void;
  close(): void;
}

export interface NodePodsOptions {
  readonly node: string;
  /** Delete leftover rejected pods of controllers, at most one in this time; undefined leaves them. */
  readonly cleanEveryMs?: number;
}

/** Keeps the pods of one node in sight, by one watch; of each pod it remembers only what concerns sysctls. */
export function followPods(ports: ClusterPorts, { node, cleanEveryMs }: NodePodsOptions): NodePods {
  const listeners = new Set<() => void>();
  const stop = new AbortController();
  let shown = '';
  const follower: Follower<PodOfNode> = follow({
    ...ports,
    collection: { path: '/api/v1/pods', fieldSelector: `spec.nodeName=${node}`, consistent: false },
    decode: podOfObject,
    changed: () => {
      // A node's pods change all the time; only a few changes concern sysctls.
      const now = JSON.stringify([...(follower.current()?.objects.values() ?? [])]);
      if (now === shown) return;
      shown = now;
      for (const listener of listeners) listener();
    },
    troubled: (reason) => {
      if (reason !== undefined) ports.log('warn', 'podsNotWatched', { node }, reason);
      for (const listener of listeners) listener();
    },
  });
  if (cleanEveryMs !== undefined) {
    void clean(ports, () => [...(follower.current()?.objects.values() ?? [])], cleanEveryMs, stop.signal);
  }
  return {
    pods: () => {
      const current = follower.current();
      const trouble = follower.trouble();
      // What is known of pods guards their lives: an old answer is none.
      if (current === undefined || trouble !== undefined)
        return {
          kind: 'unknown',
          reason: `the pods of this node cannot be watched: ${trouble ?? 'not yet'}`,
        };
      const pods = [...current.objects.values()];
      return {
        kind: 'known',
        running: pods.filter((pod) => pod.kind === 'running'),
        forbidden: pods.filter((pod) => pod.kind === 'forbidden'),
      };
    },
    onChange: (changed) => {
      listeners.add(changed);
    },
    close: () => {
      stop.abort(new Error('closed'));
      follower.close();
    },
  };
}

/** One pod at a time, with a pause after each: a storm of thousands must not become one of deletions. */
async function clean(
  { client, clock, log }: ClusterPorts,
  pods: () => readonly PodOfNode[],
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (;;) {
      await clock.sleep(everyMs, signal);
      const [oldest] = leftovers(pods());
      if (oldest === undefined) continue;
      const { namespace, name, uid } = oldest;
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
      const body = { preconditions: { uid } };
      const answer = await client
        .ask({ method: 'DELETE', path, body }, { signal })
        .catch((error: unknown) => {
          signal.throwIfAborted();
          log(
            'warn',
            'podNotDeleted',
            { namespace, pod: name },
            error instanceof Error ? error.message : String(error),
          );
          return undefined;
        });
      if (answer?.kind === 'done')
        log('info', 'podDeleted', { namespace, pod: name }, 'a leftover of SysctlForbidden');
      else if (answer !== undefined)
        log('warn', 'podNotDeleted', { namespace, pod: name, status: answer.status }, answer.message);
    }
  } catch {
    // Closed.
  }
}
