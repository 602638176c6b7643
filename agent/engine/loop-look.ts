import { type ForceableCode, type Problem, unreachable } from '../errors.ts';
import { driftOf, type LayerView, type NodeDrift } from '../plan/drift.ts';
import { makePlan } from '../plan/make-plan.ts';
import type { Latch } from '../host/latch.ts';
import type { ObservedNode } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';
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
  /** What is not as the policy wants it. */
  readonly subjects: readonly Subject[];
  /** What to do next; undefined unless the wish is `change` or `latched`. */
  readonly plan: PartPlan | undefined;
  /** Why a part is not tried again. */
  readonly latch: Latch | undefined;
  /** Why nothing may be done about a part. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** What is to be done about one part of the policy, and the policy with that part alone. */
export interface PartPlan {
  readonly subject: Subject;
  readonly policy: NodePolicy;
  readonly plan: Plan;
  readonly hash: string;
}

export interface LookRequest {
  readonly policy: NodePolicy;
  /** Subjects that are left alone: something else keeps undoing them. */
  readonly except: readonly Subject[];
  readonly latch: Latch | undefined;
  /** The part whose change failed last: the other one goes first. */
  readonly failed: Subject | undefined;
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
  const order = request.failed === 'sysctls' ? partOrder.toReversed() : partOrder;
  const parts = order.map((subject) => partOf(observed, request, subject));
  const drifted = driftedSubjects(drift, policy);
  const next = parts.find(({ wish }) => wish === 'change');
  const kubelet = parts.find(({ subject, wish }) => subject === 'kubelet' && wish !== 'nothing');
  const telling = next ?? kubelet ?? parts.find(({ wish }) => wish !== 'nothing');
  return {
    observed,
    drift,
    wish: telling?.wish ?? 'nothing',
    subjects: parts
      .filter(({ subject, wish }) => wish === 'change' || drifted.includes(subject))
      .map(({ subject }) => subject),
    plan: telling?.plan,
    latch: parts.find(({ latch }) => latch !== undefined)?.latch,
    problems: parts.flatMap(({ problems }) => problems),
    warnings: parts.flatMap(({ warnings }) => warnings),
  };
}

/** Node sysctls first: they restart nothing and wait for nobody, whatever stands in the way of the kubelet's part. */
const partOrder: readonly Subject[] = ['sysctls', 'kubelet'];

interface Part extends Pick<Look, 'wish' | 'plan' | 'latch' | 'problems' | 'warnings'> {
  readonly subject: Subject;
}

function partOf(observed: ObservedNode, request: LookRequest, subject: Subject): Part {
  const others = partOrder.filter((other) => other !== subject);
  const policy = policyWithout(request.policy, [...request.except, ...others]);
  const outcome = makePlan(observed, policy, { force: noForce, nowMs: request.nowMs });
  const { warnings } = outcome.notes;
  const base = { subject, plan: undefined, latch: undefined, problems: [], warnings };
  switch (outcome.kind) {
    case 'converged':
      return { ...base, wish: 'nothing' };
    case 'refused':
      return { ...base, wish: 'refused', problems: outcome.problems };
    case 'change': {
      const plan = { subject, policy, plan: outcome.plan, hash: hashOf(outcome.plan) };
      const latch = plan.hash === request.latch?.planHash ? request.latch : undefined;
      return { ...base, wish: latch === undefined ? 'change' : 'latched', plan, latch };
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
function policyWithout(policy: NodePolicy, except: readonly Subject[]): NodePolicy {
  return {
    ...policy,
    ...(except.includes('sysctls') ? { sysctls: [] } : {}),
    ...(except.includes('kubelet') ? { allowedUnsafeSysctls: [], existing: 'Keep' as const } : {}),
  };
}

const noForce: readonly ForceableCode[] = [];

function driftedSubjects(drift: NodeDrift, policy: NodePolicy): readonly Subject[] {
  const kubelet = drift.layers.some(({ missing, extra }) => missing.length + extra.length > 0);
  const sysctls = policy.sysctls.some(
    ({ remediation }, index) => remediation === 'Write' && drift.sysctls[index]?.state === 'drifted',
  );
  return [...(kubelet ? ['kubelet' as const] : []), ...(sysctls ? ['sysctls' as const] : [])];
}
