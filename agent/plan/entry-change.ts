import { coverage, covers, narrowed, unite } from '../kubelet/allowlist.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { KubeletFacts } from './facts.ts';
import type { EntryChange } from './plan.ts';

/** Keep: what is in force and what the policy adds to it. Remove: the policy alone. Safe sysctls need no entry. */
export function entryChange(facts: KubeletFacts, wanted: readonly string[], policy: NodePolicy): EntryChange {
  const before = unite(facts.inForce);
  const covered = coverage([...before, ...facts.safe]);
  const after =
    policy.existing === 'Remove' ? wanted : [...before, ...wanted.filter((entry) => !covered(entry))];
  const [old, next] = [new Set(before), new Set(after)];
  return {
    inForce: before,
    after,
    added: after.filter((entry) => !old.has(entry)),
    kept: after.filter((entry) => old.has(entry)),
    removed: before.filter((entry) => !next.has(entry)),
  };
}

/** Whether the next start would allow all of it already and, where the policy is the whole list, nothing else. */
export function isSettled(entries: EntryChange, facts: KubeletFacts, policy: NodePolicy): boolean {
  if (!entries.after.every(coverage([...facts.written, ...facts.safe]))) return false;
  return policy.existing === 'Keep' || narrowed(entries.inForce, entries.after).length === 0;
}

/** Entries that a reader may want to drop from the policy. */
export function entryHints(entries: readonly string[], facts: KubeletFacts): readonly string[] {
  const safe = coverage(facts.safe);
  const listed = new Set(facts.inForce);
  const patterns = facts.inForce.filter((other) => other.endsWith('*'));
  return entries.flatMap((entry) => {
    if (safe(entry))
      return [`${entry} is a safe sysctl for this kubelet and kernel: already allowed, no entry needed`];
    const wider = listed.has(entry) ? undefined : patterns.find((pattern) => covers(pattern, entry));
    return wider === undefined ? [] : [`${entry} is already allowed by ${wider}`];
  });
}
