import { type ForceableCode, forceableCodes, type Problem } from '../errors.ts';
import { checkEntries } from '../kubelet/entries.ts';
import { hasGpus, type Owner } from '../kubelet/owners.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { afterwards } from './afterwards.ts';
import { comparePlacements } from './comparison.ts';
import { entryChange, entryHints, isSettled } from './entry-change.ts';
import { type KubeletFacts, readFacts } from './facts.ts';
import type { ObservedNode } from './observed.ts';
import { findOwners, ownerNotes, ownerProblems } from './ownership.ts';
import { dropInPath } from './place-drop-in.ts';
import { choosePlacement, type ChosenPlacement, propose } from './placement.ts';
import type { EntryChange, FileChange, Notes, Plan, PlanOutcome } from './plan.ts';
import type { PossibleProposal, ProposedFile, Wanted } from './proposal.ts';
import { hooksOf, restartProblems } from './refusals.ts';
import { narrowingProblems, podsAtRisk } from './removal.ts';
import { planSysctls, sysctlFilePath } from './sysctl-plan.ts';
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
    hints: entryHints(checked.entries, facts),
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

  const wanted: Wanted = { entries: entries.after, exact: policy.existing === 'Remove' };
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
  const proposal = propose(observed, facts, 'DropIn', { entries: facts.written, exact: false });
  if (!proposal.ok) return false;
  const { path, argv } = proposal.commandAfter;
  return path !== facts.command.loaded.path || !sameList(argv, facts.command.loaded.argv);
}

function withPlacement(
  observed: ObservedNode,
  facts: KubeletFacts,
  told: Notes,
  owners: readonly Owner[],
  chosen: ChosenPlacement,
  wanted: Wanted,
): Notes {
  const comparison = comparePlacements(observed, facts, owners, chosen, wanted);
  const gentle = comparison.filter(({ possible, reload }) => possible && !reload).map(({ kind }) => kind);
  const { proposal } = chosen;
  const gpu: readonly Problem[] =
    proposal.ok && proposal.reload && hasGpus(observed.marks)
      ? [
          {
            code: 'GPU_AT_RISK',
            message:
              'this node has NVIDIA GPUs, and a daemon-reload can take them away from running containers (Failed to initialize NVML)',
            next:
              gentle.length === 0
                ? 'drain the pods that use GPUs first'
                : `use placement: ${gentle.join(' or ')}, which needs no reload`,
          },
        ]
      : [];
  const ownersSay = ownerNotes(owners);
  const unseen =
    proposal.ok && (proposal.kind === 'KubeletConfig' || proposal.kind === 'DistributionConfig')
      ? [
          "the kubelet's command line does not show a list from a file: after the restart its health alone is looked at",
        ]
      : [];
  return {
    ...told,
    warnings: [...told.warnings, ...ownersSay.warnings, ...gpu],
    hints: [...told.hints, ...ownersSay.hints, ...unseen],
    comparison,
  };
}

function changeProblems(
  observed: ObservedNode,
  facts: KubeletFacts,
  entries: EntryChange,
  policy: NodePolicy,
  proposal: PossibleProposal,
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

function readOnlyProblems(observed: ObservedNode, files: readonly ProposedFile[]): readonly Problem[] {
  return files
    .filter((file) => !(file.before?.writable ?? (observed.etcWritable || !file.path.startsWith('/etc/'))))
    .map((file) => ({
      code: 'NODE_READ_ONLY',
      message: `${file.path} lies on a read-only file system`,
      next: "use the distribution's own way to change the kubelet's flags",
    }));
}

function unreadableSysctlFile(observed: ObservedNode, files: readonly ProposedFile[]): readonly Problem[] {
  const unreadable = observed.unreadable.find(({ path }) => path === sysctlFilePath);
  if (files.length === 0 || unreadable === undefined) return [];
  return [
    {
      code: 'UNIT_UNREADABLE',
      message: `${sysctlFilePath} cannot be read: ${unreadable.reason}`,
      where: { file: sysctlFilePath },
      next: 'put that file right, then try again',
    },
  ];
}

function isForced(problem: Problem, options: PlanOptions): boolean {
  return forceableCodes.some((code) => code === problem.code && options.force.includes(code));
}

function overruled(problem: Problem): Problem {
  return { code: problem.code, message: `overruled by --force: ${problem.message}` };
}

function changes({ before, after }: ProposedFile): boolean {
  return (before?.text ?? null) !== after;
}

/** Only what it takes to put the file back: the rest of the observation would go stale in the journal. */
function fileChange(file: ProposedFile): FileChange {
  const { before } = file;
  return {
    path: file.path,
    before:
      before === null
        ? null
        : { sha256: before.sha256, mode: before.mode, uid: before.uid, gid: before.gid, text: before.text },
    after: file.after,
  };
}

function kubeletPart(
  observed: ObservedNode,
  facts: KubeletFacts,
  proposal: PossibleProposal,
  why: string,
  entries: EntryChange,
): Partial<Plan> {
  const running = observed.mode === 'running';
  const inFlag = proposal.kind !== 'KubeletConfig' && facts.distribution === undefined;
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
function needsRestart(observed: ObservedNode, facts: KubeletFacts, proposal: PossibleProposal): boolean {
  if (proposal.kind === 'KubeletConfig' || facts.distribution !== undefined) return true;
  const after = readFacts(afterwards(observed, proposal));
  const running = observed.process?.argv;
  return running === undefined || !after.ok || !sameList(running, after.facts.command.expanded);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

function emptyPlan(observed: ObservedNode, policy: NodePolicy): Plan {
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

function versionWarning(observed: ObservedNode): readonly Problem[] {
  if (observed.kubeletVersion !== undefined) return [];
  return [
    {
      code: 'KUBELET_NOT_FOUND',
      message: "the kubelet's version is unknown, so entries must satisfy every version's rules",
    },
  ];
}

function sysctlWarnings(observed: ObservedNode, findings: Notes['sysctls']): readonly Problem[] {
  if (observed.mode === 'image' || findings.length === 0 || observed.sysctlsVia !== 'none') return [];
  return [
    {
      code: 'SYSCTL_NAME_INVALID',
      message:
        "node sysctls are unknown: the agent is not in the host's network and IPC namespaces and cannot enter them",
      next: 'run it with hostNetwork and hostIPC, or with hostPID and nsenter',
    },
  ];
}
