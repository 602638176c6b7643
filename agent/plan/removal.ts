import type { Problem } from '../errors.ts';
import { isCovered, narrowed } from '../kubelet/allowlist.ts';
import type { ObservedPods } from './observed.ts';
import type { EntryChange, Plan } from './plan.ts';

/** Running pods that the kubelet would kill after a restart with `after`: it admits every pod of the node again. */
export function podsAtRisk(
  pods: ObservedPods,
  before: readonly string[],
  after: readonly string[],
  safe: readonly string[],
): Plan['podsAtRisk'] {
  if (pods.kind === 'unknown') return [];
  const losing = (name: string): boolean => isCovered(before, name) && !isCovered([...after, ...safe], name);
  return pods.pods
    .map((pod) => ({
      namespace: pod.namespace,
      name: pod.name,
      sysctls: Object.keys(pod.sysctls).filter(losing),
    }))
    .filter((pod) => pod.sysctls.length > 0);
}

/** A shorter allowlist kills the pods that use what is gone: refused while one runs, or while nobody can tell. */
export function narrowingProblems(
  pods: ObservedPods,
  entries: EntryChange,
  safe: readonly string[],
  narrowing: 'Refuse' | 'Allow',
): readonly Problem[] {
  const lost = narrowed(entries.inForce, entries.after, safe);
  if (lost.length === 0 || narrowing === 'Allow') return [];
  if (pods.kind === 'unknown') {
    return [
      {
        code: 'REMOVAL_UNCHECKED',
        message: `${lost.join(', ')} would no longer be allowed, and whether running pods use it is unknown: ${pods.reason}`,
        next: 'check the pods of this node yourself, then use --force REMOVAL_UNCHECKED or narrowing: Allow',
      },
    ];
  }
  return removalInUse(podsAtRisk(pods, entries.inForce, entries.after, safe));
}

/** The refusal that names the pods which would be killed; empty when there are none. */
export function removalInUse(losers: Plan['podsAtRisk']): readonly Problem[] {
  if (losers.length === 0) return [];
  return [
    {
      code: 'REMOVAL_IN_USE',
      message: `the kubelet would kill ${losers.length === 1 ? 'a running pod' : `${losers.length} running pods`}: ${losers.map((pod) => `${pod.namespace}/${pod.name} (${pod.sysctls.join(', ')})`).join('; ')}`,
      next: 'move these pods away first; --force REMOVAL_IN_USE kills them',
    },
  ];
}
