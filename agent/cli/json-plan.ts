import { hashOf, type Planned } from '../engine/apply.ts';
import type { Problem } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import { unifiedDiff } from './unified-diff.ts';

/** What `plan` and `apply` saw and would change. Of files only the difference: their whole text may hold secrets. */
export function planJson(
  planned: Planned | undefined,
  obstacles: readonly Problem[] = [],
): Readonly<Record<string, unknown>> {
  if (planned === undefined)
    return {
      observed: null,
      entries: null,
      change: null,
      placements: [],
      sysctls: [],
      warnings: [],
      hints: [],
    };
  const { observed, outcome } = planned;
  const entries = outcome.kind === 'change' ? outcome.plan.entries : outcome.entries;
  return {
    observed: {
      mode: observed.mode,
      root: observed.root,
      unit: observed.unit?.id ?? observed.unitName,
      kubeletVersion: observed.kubeletVersion ?? null,
      kernelRelease: observed.kernelRelease ?? null,
      systemdVersion: observed.systemdVersion ?? null,
      health: observed.health,
      sysctlsVia: observed.sysctlsVia,
      podsKnown: observed.pods.kind === 'known',
    },
    entries: entries ?? null,
    change: outcome.kind === 'change' ? changeJson(outcome.plan) : null,
    placements: (outcome.notes.comparison ?? []).map((option) => ({
      kind: option.kind,
      possible: option.possible,
      chosen: option.chosen,
      path: option.path ?? null,
      why: option.why ?? null,
      reload: option.reload,
      restart: option.restart,
      survives: option.survives,
      hides: option.hides ?? null,
    })),
    sysctls: outcome.notes.sysctls.map(({ name, expected, found, state, remediation, reason }) => ({
      name,
      expected,
      found: found ?? null,
      state,
      remediation,
      reason: reason ?? null,
    })),
    warnings: [...obstacles, ...outcome.notes.warnings],
    hints: outcome.notes.hints,
  };
}

function changeJson(plan: Plan): Readonly<Record<string, unknown>> {
  return {
    hash: hashOf(plan),
    policies: plan.policies,
    placement: plan.placement ?? null,
    files: plan.files.map((file) => ({
      path: file.path,
      action: file.before === null ? 'create' : file.after === null ? 'remove' : 'edit',
      sha256Before: file.before?.sha256 ?? null,
      diff: unifiedDiff(file.path, file.before?.text ?? null, file.after),
    })),
    reload: plan.reload,
    restart: plan.restart,
    probationSeconds: plan.probationMs / 1000,
    sysctlWrites: plan.sysctlWrites,
    podsAtRisk: plan.podsAtRisk,
  };
}
