import type { RunningPods } from '../host/running-pods.ts';
import { normaliseName } from '../sysctl/names.ts';
import type { ObservationPorts } from './observe.ts';
import { noPods, type PodSource, type PodsOfNode } from './reporter.ts';

/**
 * The same eyes, which see a pod that either the container runtime or the API server knows: one that was bound to the
 * node a moment ago has no container yet, and one that was deleted by force may still have some.
 */
export function withPodsOfCluster<P extends Pick<ObservationPorts, 'runningPods'>>(
  ports: P,
  source: PodSource,
): P {
  if (source === noPods) return ports;
  return { ...ports, runningPods: async () => eitherKnows(await ports.runningPods(), source.pods()) };
}

/** All pods of both. What the API server cannot tell now is unknown, whatever the runtime says: a pod may be on its way. */
export function eitherKnows(runtime: RunningPods, cluster: PodsOfNode): RunningPods {
  if (cluster.kind === 'unknown') return cluster;
  const pods = new Map<string, Extract<RunningPods, { kind: 'known' }>['pods'][number]>();
  for (const pod of [...(runtime.kind === 'known' ? runtime.pods : []), ...cluster.running]) {
    const key = `${pod.namespace}/${pod.name}`;
    const { sysctls, ...same } = pods.get(key) ?? pod;
    pods.set(key, { ...same, sysctls: bothOf(sysctls, pod.sysctls) });
  }
  return {
    kind: 'known',
    pods: [...pods.values()],
    runtime: runtime.kind === 'known' ? `${runtime.runtime}+API server` : 'API server',
  };
}

/** One name for each sysctl: the runtime was told the pod's own spelling, or another. */
function bothOf(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const known = new Set(Object.keys(one).map(normaliseName));
  return {
    ...one,
    ...Object.fromEntries(Object.entries(other).filter(([name]) => !known.has(normaliseName(name)))),
  };
}
