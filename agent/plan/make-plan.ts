import { type ForceableCode, forceableCodes, type Problem } from '../errors.ts';
import { sameWords } from '../kubelet/argv.ts';
import { checkEntries } from '../kubelet/entries.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { entryChange, entryHints, isSettled } from './entry-change.ts';
import { type KubeletFacts, readFacts } from './facts.ts';
import { changes, fileChange, readOnlyProblems, unreadableSysctlFile } from './file-change.ts';
import { commandHints } from './command-hints.ts';
import { emptyPlan, kubeletPart, needsRestart } from './kubelet-part.ts';
import { sysctlWarnings, versionWarning, withPlacement } from './notes.ts';
import type { ObservedNode } from './observed.ts';
import { findOwners, ownerProblems } from './ownership.ts';
import { dropInPath } from './place-drop-in.ts';
import { choosePlacement, propose } from './placement.ts';
import type { EntryChange, Notes, Plan, PlanOutcome } from './plan.ts';
import type { ProvenProposal, Wanted } from './proposal.ts';
import { hooksOf, restartProblems } from './refusals.ts';
import { narrowingProblems, podsAtRisk } from './removal.ts';
import { planSysctls } from './sysctl-plan.ts';
import { reloadProblems } from './unit-problems.ts';

export interface PlanOptions {
  /** Codes of refusals that a person has overruled. */
  readonly force: readonly ForceableCode[];
  readonly nowMs: number;
}

/**
 * What would have to change on this node for the policy to hold, or why it must not. Pure: the same observation and
 * policy give the same plan. Every refusal is found at once, and none of them is left for later than here if the
 * observation can tell.
 */
export function makePlan(observed: ObservedNode, policy: NodePolicy, options: PlanOptions): PlanOutcome {
  const sysctls = planSysctls(observed, policy.sysctls);
  const notes: Notes = {
    warnings: sysctlWarnings(observed, sysctls.findings),
    hints: [],
    sysctls: sysctls.findings,
    comparison: [],
  };
  const sysctlFiles = sysctls.file === undefined ? [] : [sysctls.file];
  const sysctlPart: Plan = {
    ...emptyPlan(observed, policy),
    files: sysctlFiles.map(fileChange),
    sysctlWrites: sysctls.writes,
  };
  const nothingForSysctls = sysctls.writes.length === 0 && sysctlFiles.length === 0;
  const fileProblems = [
    ...readOnlyProblems(observed, sysctlFiles),
    ...unreadableSysctlFile(observed, sysctlFiles),
  ];

  if (policy.allowedUnsafeSysctls.length === 0 && policy.existing === 'Keep') {
    if (fileProblems.length > 0)
      return { kind: 'refused', problems: fileProblems, entries: undefined, notes };
    return nothingForSysctls
      ? { kind: 'converged', entries: undefined, notes }
      : { kind: 'change', plan: sysctlPart, notes };
  }

  const read = readFacts(observed);
  if (!read.ok) {
    const owners =
      observed.unit?.loadState === 'loaded' ? findOwners(observed, policy.allowedUnsafeSysctls) : [];
    const problems = [...ownerProblems(owners), ...read.problems];
    return { kind: 'refused', problems, entries: undefined, notes };
  }
  const { facts } = read;
  const checked = checkEntries(policy.allowedUnsafeSysctls, facts.version);
  const told: Notes = {
    ...notes,
    warnings: [
      ...notes.warnings,
      ...checked.warnings,
      ...facts.warnings,
      ...versionWarning(observed),
      ...hooksOf(facts.unit).warnings,
    ],
    hints: [
      ...entryHints(checked.entries, facts),
      ...commandHints(facts.command),
      ...hooksOf(facts.unit).hints,
    ],
  };
  if (checked.problems.length > 0)
    return { kind: 'refused', problems: checked.problems, entries: undefined, notes: told };

  const entries = entryChange(facts, checked.entries, policy);
  if (isSettled(entries, facts, policy) && !isStale(observed, facts, policy)) {
    if (fileProblems.length > 0) return { kind: 'refused', problems: fileProblems, entries, notes: told };
    return nothingForSysctls
      ? { kind: 'converged', entries, notes: told }
      : { kind: 'change', plan: { ...sysctlPart, entries }, notes: told };
  }

  const wanted: Wanted = {
    entries: entries.after,
    exact: policy.existing === 'Remove',
    withoutFlag: facts.config.allowedUnsafeSysctls ?? [],
  };
  const settledOwners = findOwners(observed, entries.after);
  const chosen = choosePlacement(observed, facts, settledOwners, policy, wanted);
  const { proposal } = chosen;
  const owners = proposal.ok ? findOwners(observed, entries.after, proposal.files) : settledOwners;
  const noted = withPlacement(observed, facts, told, owners, chosen, wanted);
  const problems = [
    ...fileProblems,
    ...ownerProblems(owners),
    ...(proposal.ok
      ? [
          ...readOnlyProblems(observed, proposal.files),
          ...changeProblems(observed, facts, entries, policy, proposal, options.nowMs),
        ]
      : [proposal.problem]),
  ];
  const blocking = problems.filter((problem) => !isForced(problem, options));
  if (!proposal.ok || blocking.length > 0)
    return { kind: 'refused', problems: blocking, entries, notes: noted };
  return {
    kind: 'change',
    plan: {
      ...sysctlPart,
      ...kubeletPart(observed, facts, proposal, chosen.why, entries),
      entries,
      files: [...sysctlFiles, ...proposal.files.filter(changes)].map(fileChange),
      podsAtRisk: podsAtRisk(observed.pods, facts.inForce, entries.after, facts.safe),
    },
    notes: { ...noted, warnings: [...noted.warnings, ...problems.map(overruled)] },
  };
}

/** Our drop-in repeats the command below it: when that changed, for instance by an upgrade, ours keeps the old words. */
function isStale(observed: ObservedNode, facts: KubeletFacts, policy: NodePolicy): boolean {
  if (policy.placement !== 'Auto' && policy.placement !== 'DropIn') return false;
  if (facts.command.holder.path !== dropInPath(facts.unit.id)) return false;
  const proposal = propose(observed, facts, 'DropIn', {
    entries: facts.written,
    exact: false,
    withoutFlag: [],
  });
  if (!proposal.ok) return false;
  const { path, argv } = proposal.commandAfter;
  return path !== facts.command.loaded.path || !sameWords(argv, facts.command.loaded.argv);
}

function changeProblems(
  observed: ObservedNode,
  facts: KubeletFacts,
  entries: EntryChange,
  policy: NodePolicy,
  proposal: ProvenProposal,
  nowMs: number,
): readonly Problem[] {
  const narrowing = narrowingProblems(observed.pods, entries, facts.safe, policy.narrowing);
  if (observed.mode === 'image') return narrowing;
  return [
    ...(proposal.reload ? reloadProblems(facts.unit) : []),
    ...(needsRestart(observed, facts, proposal) ? restartProblems(observed, facts, nowMs) : []),
    ...narrowing,
  ];
}

function isForced(problem: Problem, options: PlanOptions): boolean {
  return forceableCodes.some((code) => code === problem.code && options.force.includes(code));
}

function overruled(problem: Problem): Problem {
  return { code: problem.code, message: `overruled by --force: ${problem.message}` };
}
