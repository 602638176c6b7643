import { type ForceableCode, forceableCodes, type Problem } from '../errors.ts';
import { isCovered, narrowed, unite } from '../kubelet/allowlist.ts';
import { type KubeletConfigFacts, readKubeletConfig } from '../kubelet/config.ts';
import { checkEntries } from '../kubelet/entries.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { expandArgv, type KubeletCommand, readCommand } from './command-line.ts';
import type { LoadedUnit, ObservedNode } from './observed.ts';
import { choosePlacement } from './placement.ts';
import type { EntryChange, FileChange, Notes, Plan, PlanOutcome } from './plan.ts';
import type { PossibleProposal, ProposedFile } from './proposal.ts';
import { hooksOf, reloadProblems, restartProblems, unitProblems } from './refusals.ts';
import { narrowingProblems, podsAtRisk } from './removal.ts';
import { planSysctls } from './sysctl-plan.ts';

export interface PlanOptions {
  /** Codes of refusals that a person has overruled. */
  readonly force: readonly ForceableCode[];
  readonly nowMs: number;
}

/** Everything the planner learnt about the kubelet on its way. */
interface KubeletFacts {
  readonly unit: LoadedUnit;
  readonly command: KubeletCommand;
  readonly config: KubeletConfigFacts;
  readonly inForce: readonly string[];
  readonly safe: readonly string[];
}

/**
 * What would have to change on this node for the policy to hold, or why it must not. Pure: the same observation and
 * policy give the same plan. Every refusal is found at once, and none of them is left for later than here if the
 * observation can tell.
 */
export function makePlan(observed: ObservedNode, policy: NodePolicy, options: PlanOptions): PlanOutcome {
  const sysctls = planSysctls(observed, policy.sysctls);
  const notes: Notes = { warnings: sysctlWarnings(observed, sysctls.findings), hints: [], sysctls: sysctls.findings };
  const sysctlFiles = sysctls.file === undefined ? [] : [sysctls.file];
  const sysctlPart: Plan = { ...emptyPlan(observed, policy), files: sysctlFiles.map(fileChange), sysctlWrites: sysctls.writes };
  const nothingForSysctls = sysctls.writes.length === 0 && sysctlFiles.length === 0;

  if (policy.allowedUnsafeSysctls.length === 0 && policy.existing === 'Keep') {
    const problems = readOnlyProblems(observed, sysctlFiles);
    if (problems.length > 0) return { kind: 'refused', problems, entries: undefined, notes };
    return nothingForSysctls ? { kind: 'converged', entries: undefined, notes } : { kind: 'change', plan: sysctlPart, notes };
  }

  const read = kubeletFacts(observed);
  if (!read.ok) return { kind: 'refused', problems: read.problems, entries: undefined, notes };
  const { facts } = read;
  const checked = checkEntries(policy.allowedUnsafeSysctls, parseKubeletVersion(observed.kubeletVersion ?? ''));
  const told: Notes = {
    ...notes,
    warnings: [...notes.warnings, ...checked.warnings, ...versionWarning(observed), ...hooksOf(facts.unit).warnings],
    hints: hintsOf(checked.entries, facts),
  };
  if (checked.problems.length > 0) return { kind: 'refused', problems: checked.problems, entries: undefined, notes: told };

  const entries = entryChange(facts, checked.entries, policy);
  if (isSettled(entries, facts, policy)) {
    return nothingForSysctls ? { kind: 'converged', entries, notes: told } : { kind: 'change', plan: { ...sysctlPart, entries }, notes: told };
  }
  const { proposal, why } = choosePlacement(observed, facts.command, policy, { entries: entries.after, exact: policy.existing === 'Remove' });
  if (!proposal.ok) return { kind: 'refused', problems: [proposal.problem], entries, notes: told };

  const problems = [
    ...readOnlyProblems(observed, [...sysctlFiles, ...proposal.files]),
    ...changeProblems(observed, facts, entries, policy, proposal, options.nowMs),
  ];
  const blocking = problems.filter((problem) => !isForced(problem, options));
  if (blocking.length > 0) return { kind: 'refused', problems: blocking, entries, notes: told };
  return {
    kind: 'change',
    plan: {
      ...sysctlPart,
      ...kubeletPart(observed, facts, proposal, why, entries),
      entries,
      files: [...sysctlFiles, ...proposal.files].map(fileChange),
      podsAtRisk: podsAtRisk(observed.pods, facts.inForce, entries.after, facts.safe),
    },
    notes: { ...told, warnings: [...told.warnings, ...problems.map(overruled)] },
  };
}

function kubeletFacts(observed: ObservedNode): { ok: true; facts: KubeletFacts } | { ok: false; problems: readonly Problem[] } {
  const problems = unitProblems(observed);
  const { unit } = observed;
  if (unit === undefined || problems.length > 0) return { ok: false, problems };
  const reading = readCommand(observed);
  if (!reading.ok) return { ok: false, problems: [...reloadProblems(unit), reading.problem] };
  const version = parseKubeletVersion(observed.kubeletVersion ?? '');
  const config = readKubeletConfig(observed.kubeletConfig, observed.kubeletConfigDropIns, version);
  if (!config.ok) return { ok: false, problems: [config.problem] };
  return {
    ok: true,
    facts: {
      unit,
      command: reading.command,
      config: config.facts,
      inForce: inForce(reading.command.flagEntries, config.facts.allowedUnsafeSysctls),
      safe: safeSysctls(version, parseKernelRelease(observed.kernelRelease ?? '')),
    },
  };
}

/** Keep: what is in force and what the policy adds to it. Remove: the policy alone. Safe sysctls need no entry. */
function entryChange(facts: KubeletFacts, wanted: readonly string[], policy: NodePolicy): EntryChange {
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

function isSettled(entries: EntryChange, facts: KubeletFacts, policy: NodePolicy): boolean {
  if (entries.added.some((entry) => !isCovered([...facts.inForce, ...facts.safe], entry))) return false;
  return policy.existing === 'Keep' || narrowed(entries.inForce, entries.after).length === 0;
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
    ...(needsRestart(observed, proposal) ? restartProblems(observed, facts.unit, facts.command, facts.config, nowMs) : []),
    ...narrowing,
  ];
}

function readOnlyProblems(observed: ObservedNode, files: readonly ProposedFile[]): readonly Problem[] {
  return files
    .filter((file) => !(file.before?.writable ?? observed.etcWritable))
    .map((file) => ({ code: 'NODE_READ_ONLY', message: `${file.path} lies on a read-only file system`, next: "use the distribution's own way to change the kubelet's flags" }));
}

function isForced(problem: Problem, options: PlanOptions): boolean {
  return forceableCodes.some((code) => code === problem.code && options.force.includes(code));
}

function overruled(problem: Problem): Problem {
  return { code: problem.code, message: `overruled by --force: ${problem.message}` };
}

/** Only what it takes to put the file back: the rest of the observation would go stale in the journal. */
function fileChange(file: ProposedFile): FileChange {
  const { before } = file;
  return {
    path: file.path,
    before: before === null ? null : { sha256: before.sha256, mode: before.mode, uid: before.uid, gid: before.gid, text: before.text },
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
  return {
    placement: { kind: proposal.kind, path: proposal.path, why },
    reload: running && proposal.reload,
    restart: running && needsRestart(observed, proposal),
    healthzRequired: observed.health === 'ok',
    expectation: {
      commandBefore: facts.command.loaded,
      commandAfter: proposal.commandAfter,
      dropInPathsAfter: proposal.dropIns,
      settings: facts.unit.settings,
      entries: proposal.kind === 'KubeletConfig' ? [] : entries.after,
    },
  };
}

/** A kubelet that already runs with the very words that the unit will say needs no restart (a healed edit). */
function needsRestart(observed: ObservedNode, proposal: PossibleProposal): boolean {
  const after = expandArgv(observed, proposal.commandAfter);
  const running = observed.process?.argv;
  return running === undefined || running.length !== after.length || running.some((word, index) => word !== after[index]);
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
  return [{ code: 'KUBELET_NOT_FOUND', message: "the kubelet's version is unknown, so entries must satisfy every version's rules" }];
}

function hintsOf(entries: readonly string[], facts: KubeletFacts): readonly string[] {
  return entries.flatMap((entry) => {
    if (isCovered(facts.safe, entry)) return [`${entry} is a safe sysctl for this kubelet and kernel: already allowed, no entry needed`];
    const wider = facts.inForce.find((other) => other !== entry && isCovered([other], entry));
    return wider === undefined || facts.inForce.includes(entry) ? [] : [`${entry} is already allowed by ${wider}`];
  });
}

function sysctlWarnings(observed: ObservedNode, findings: Notes['sysctls']): readonly Problem[] {
  if (observed.mode === 'image' || findings.length === 0 || observed.sysctlsVia !== 'none') return [];
  return [{ code: 'SYSCTL_NAME_INVALID', message: "node sysctls are unknown: the agent is not in the host's network and IPC namespaces and cannot enter them", next: 'run it with hostNetwork and hostIPC, or with hostPID and nsenter' }];
}
