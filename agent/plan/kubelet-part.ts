import { sameWords } from '../kubelet/argv.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { KubeletFacts } from './facts.ts';
import type { ObservedNode } from './observed.ts';
import type { EntryChange, Plan } from './plan.ts';
import type { ProvenProposal } from './proposal.ts';

/** A plan that changes nothing yet. */
export function emptyPlan(observed: ObservedNode, policy: NodePolicy): Plan {
  return {
    schema: 1,
    unit: observed.unit?.id ?? policy.unit,
    policies: policy.names,
    entries: { inForce: [], after: [], added: [], kept: [], removed: [] },
    placement: undefined,
    files: [],
    reload: false,
    restart: false,
    expectation: undefined,
    sysctlWrites: [],
    podsAtRisk: [],
    probationMs: policy.rollout.probationMs,
    healthzRequired: false,
  };
}

/** What a plan says of the kubelet: where the list goes, and what systemd and the process must show then. */
export function kubeletPart(
  observed: ObservedNode,
  facts: KubeletFacts,
  proposal: ProvenProposal,
  why: string,
  entries: EntryChange,
): Partial<Plan> {
  const running = observed.mode === 'running';
  const { flagEntries } = proposal.after.command;
  // The process shows a flag; a list of its configuration file it does not.
  const inFlag = facts.distribution === undefined && flagEntries !== undefined;
  return {
    placement: { kind: proposal.kind, path: proposal.path, why },
    reload: running && proposal.reload,
    restart: running && needsRestart(observed, facts, proposal),
    healthzRequired: observed.health === 'ok',
    expectation: {
      commandBefore: facts.command.loaded,
      commandAfter: proposal.commandAfter,
      dropInPathsAfter: proposal.dropIns,
      settings: facts.unit.settings,
      entries: inFlag ? entries.after : [],
    },
  };
}

/** A kubelet that already runs with the very words that the next start would have needs no restart (a healed edit). */
export function needsRestart(observed: ObservedNode, facts: KubeletFacts, proposal: ProvenProposal): boolean {
  if (proposal.kind === 'KubeletConfig' || facts.distribution !== undefined) return true;
  const running = observed.process?.argv;
  return running === undefined || !sameWords(running, proposal.after.command.expanded);
}
