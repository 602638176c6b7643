import { type ForceableCode, type Problem, unreachable } from '../errors.ts';
import { driftOf, type LayerView, type NodeDrift } from '../plan/drift.ts';
import { makePlan } from '../plan/make-plan.ts';
import type { Latch } from '../host/latch.ts';
import type { ObservedNode } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';
import { sysctlFilePath } from '../plan/sysctl-plan.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { Subject, Wish } from '../transaction/loop-position.ts';
import { hashOf } from './apply.ts';
import { readSysctlFiles, readUnitOnDisk } from './observe-disk.ts';
import { type ObservationPorts, observeNode } from './observe.ts';

/** What one look at the whole node found. */
export interface Look {
  readonly observed: ObservedNode;
  readonly drift: NodeDrift;
  readonly wish: Wish;
  readonly subjects: readonly Subject[];
  /** What to do, and its hash; undefined unless the wish is `change` or `latched`. */
  readonly plan: { readonly plan: Plan; readonly hash: string } | undefined;
  /** Why a wish is `latched`. */
  readonly latch?: Latch | undefined;
  /** Why nothing may be done. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface LookRequest {
  readonly policy: NodePolicy;
  /** Subjects that are left alone: something else keeps undoing them. */
  readonly except: readonly Subject[];
  readonly latch: Latch | undefined;
  readonly configz: () => Promise<LayerView>;
  readonly nowMs: number;
}

/** Looks at the whole node, all layers, and plans. Touches nothing. @throws AgentError where the node cannot be seen. */
export async function lookAtNode(ports: ObservationPorts, request: LookRequest): Promise<Look> {
  const { policy } = request;
  const observed = await observeNode(ports, {
    unit: policy.unit,
    sysctls: policy.sysctls.map(({ name }) => name),
  });
  const drift = driftOf({
    observed,
    policy,
    unitOnDisk: await readUnitOnDisk(ports.files, observed),
    configz: await request.configz(),
    sysctlFiles: policy.sysctls.length === 0 ? [] : await readSysctlFiles(ports.files),
  });
  const outcome = makePlan(observed, policyWithout(policy, request.except), {
    force: noForce,
    nowMs: request.nowMs,
  });
  const base = { observed, drift, warnings: outcome.notes.warnings };
  switch (outcome.kind) {
    case 'converged':
      return {
        ...base,
        wish: 'nothing',
        subjects: driftedSubjects(drift, policy),
        plan: undefined,
        problems: [],
      };
    case 'refused':
      return {
        ...base,
        wish: 'refused',
        subjects: driftedSubjects(drift, policy),
        plan: undefined,
        problems: outcome.problems,
      };
    case 'change': {
      const plan = { plan: outcome.plan, hash: hashOf(outcome.plan) };
      const latch = plan.hash === request.latch?.planHash ? request.latch : undefined;
      const wish = latch === undefined ? 'change' : 'latched';
      return { ...base, wish, latch, subjects: plannedSubjects(outcome.plan), plan, problems: [] };
    }
    default:
      return unreachable(outcome);
  }
}

/** The kubelet runs, and answers where it is asked to. */
export function isWell({ observed }: Pick<Look, 'observed'>): boolean {
  return observed.process !== undefined && (observed.health === 'ok' || observed.health === 'off');
}

/** Nothing may be done because of pods, or because what is known of them is old. */
export function waitsForPods({ problems }: Look): boolean {
  return problems.some(({ code }) => code === 'REMOVAL_IN_USE' || code === 'REMOVAL_UNCHECKED');
}

/** A policy that leaves some subjects of the node alone: neither changes nor takes back what it wrote before. */
export function policyWithout(policy: NodePolicy, except: readonly Subject[]): NodePolicy {
  return {
    ...policy,
    ...(except.includes('sysctls') ? { sysctls: [] } : {}),
    ...(except.includes('kubelet') ? { allowedUnsafeSysctls: [], existing: 'Keep' as const } : {}),
  };
}

const noForce: readonly ForceableCode[] = [];

function plannedSubjects(plan: Plan): readonly Subject[] {
  const sysctls = plan.sysctlWrites.length > 0 || plan.files.some(({ path }) => path === sysctlFilePath);
  return [
    ...(plan.placement === undefined ? [] : ['kubelet' as const]),
    ...(sysctls ? ['sysctls' as const] : []),
  ];
}

function driftedSubjects(drift: NodeDrift, policy: NodePolicy): readonly Subject[] {
  const kubelet = drift.layers.some(({ missing, extra }) => missing.length + extra.length > 0);
  const sysctls = policy.sysctls.some(
    ({ remediation }, index) => remediation === 'Write' && drift.sysctls[index]?.state === 'drifted',
  );
  return [...(kubelet ? ['kubelet' as const] : []), ...(sysctls ? ['sysctls' as const] : [])];
}
