import { isCovered, narrowed, unite } from '../kubelet/allowlist.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { KubeletFacts } from './facts.ts';
import type { EntryChange } from './plan.ts';

/** Keep: what is in force and what the policy adds to it. Remove: the policy alone. Safe sysctls need no entry. */
export function entryChange(facts: KubeletFacts, wanted: readonly string[], policy: NodePolicy): EntryChange {
  const before = unite(facts.inForce);
  const missing = wanted.filter((entry) => !isCovered([...before, ...facts.safe], entry));
  const after = policy.existing === 'Remove' ? wanted : [...before, ...missing];
  return {
    inForce: before,
    after,
    added: after.filter((entry) => !before.includes(entry)),
    kept: after.filter((entry) => before.includes(entry)),
    removed: before.filter((entry) => !after.includes(entry)),
  };
}

/** Whether the next start would allow all of it already and, where the policy is the whole list, nothing else. */
export function isSettled(entries: EntryChange, facts: KubeletFacts, policy: NodePolicy): boolean {
  if (entries.after.some((entry) => !isCovered([...facts.written, ...facts.safe], entry))) return false;
  return policy.existing === 'Keep' || narrowed(entries.inForce, entries.after).length === 0;
}

/** Entries that a reader may want to drop from the policy. */
export function entryHints(entries: readonly string[], facts: KubeletFacts): readonly string[] {
  return entries.flatMap((entry) => {
    if (isCovered(facts.safe, entry))
      return [`${entry} is a safe sysctl for this kubelet and kernel: already allowed, no entry needed`];
    const wider = facts.inForce.find((other) => other !== entry && isCovered([other], entry));
    return wider === undefined || facts.inForce.includes(entry)
      ? []
      : [`${entry} is already allowed by ${wider}`];
  });
}
