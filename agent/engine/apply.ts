import { createHash } from 'node:crypto';
import { type ForceableCode, type Problem, problemOf, unreachable } from '../errors.ts';
import type { ObservedNode } from '../plan/observed.ts';
import { makePlan } from '../plan/make-plan.ts';
import type { Plan, PlanOutcome } from '../plan/plan.ts';
import { sysctlFilePath } from '../plan/sysctl-plan.ts';
import { canonical } from '../policy/hash.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { Journal } from '../transaction/journal.ts';
import { undisturbed } from './close.ts';
import { inputsOf } from './inputs.ts';
import { latchAfter, latchOf } from './latch.ts';
import { type ObservationPorts, observeNode } from './observe.ts';
import type { HostPorts, Report } from './ports.ts';
import { finishInterrupted, type RecoveryOutcome } from './recover.ts';
import { runTransaction } from './transaction.ts';

export interface ApplyRequest {
  readonly policy: NodePolicy;
  readonly force: readonly ForceableCode[];
  readonly requestedBy: string;
  /**
   * Asked before the kubelet is restarted; problems refuse the change. It may wait for as long as it likes: afterwards
   * everything is looked at anew.
   */
  readonly permit?: (plan: Plan, planHash: string) => Promise<readonly Problem[]>;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface Planned {
  readonly observed: ObservedNode;
  readonly outcome: PlanOutcome;
}

export type ApplyOutcome =
  | { readonly kind: 'converged'; readonly planned: Planned; readonly recovered: RecoveryOutcome }
  | {
      readonly kind: 'committed';
      readonly planned: Planned;
      readonly journal: Journal;
      readonly recovered: RecoveryOutcome;
    }
  | {
      readonly kind: 'refused';
      readonly planned: Planned | undefined;
      readonly problems: readonly Problem[];
      readonly recovered: RecoveryOutcome;
    }
  | {
      readonly kind: 'rolledBack';
      readonly planned: Planned;
      readonly journal: Journal;
      readonly problem: Problem;
      readonly recovered: RecoveryOutcome;
    }
  | {
      readonly kind: 'broken';
      readonly journal: Journal;
      readonly problem: Problem;
      readonly recovered: RecoveryOutcome;
    };

/** Looks and plans; touches nothing. */
export async function planNode(
  ports: ObservationPorts,
  policy: NodePolicy,
  force: readonly ForceableCode[],
  nowMs: number,
): Promise<Planned> {
  const observed = await observeNode(ports, {
    unit: policy.unit,
    sysctls: policy.sysctls.map(({ name }) => name),
  });
  return { observed, outcome: makePlan(observed, policy, { force, nowMs }) };
}

/** One whole apply: finish what was interrupted, look, plan, carry out. The caller holds the lock. */
export async function applyPolicy(
  host: HostPorts,
  ports: ObservationPorts,
  request: ApplyRequest,
): Promise<ApplyOutcome> {
  const { policy, force, signal } = request;
  const report = undisturbed(request.report);
  const first = await planNode(ports, policy, force, host.clock.now());
  const recovered = await finishInterrupted(host, {
    healthz: first.observed.healthz,
    report,
    signal,
    direction: 'any',
  });
  if (recovered.kind === 'broken') return { ...recovered, recovered };

  if (force.includes('UNIT_NEEDS_RELOAD') && first.observed.unit?.needDaemonReload === true)
    await host.systemd.reload();
  // Looked at again after whatever has just been finished.
  const planned =
    recovered.kind === 'nothing' && !force.includes('UNIT_NEEDS_RELOAD')
      ? first
      : await planNode(ports, policy, force, host.clock.now());
  const { outcome, observed } = planned;
  await report({ kind: 'planned', outcome });
  switch (outcome.kind) {
    case 'converged':
      return { kind: 'converged', planned, recovered };
    case 'refused':
      return { kind: 'refused', planned, problems: outcome.problems, recovered };
    case 'change':
      break;
  }

  const planHash = hashOf(outcome.plan);
  const latch = await latchOf(host.state, planHash);
  if (latch !== undefined && !force.includes('PLAN_LATCHED')) {
    await written(report, async () => host.state.writeLatch(latch));
    const problem: Problem = {
      code: 'PLAN_LATCHED',
      message: `this very change was tried at ${new Date(latch.sinceMs).toISOString()} and rolled back: ${latch.message}`,
      next: 'change the policy or the node, or try it once more with --force PLAN_LATCHED',
    };
    return { kind: 'refused', planned, problems: [problem], recovered };
  }

  const { permit, ...permitted } = request;
  if (permit !== undefined && outcome.plan.restart) {
    const problems = await permit(outcome.plan, planHash);
    if (problems.length > 0) return { kind: 'refused', planned, problems, recovered };
    return { ...(await applyPolicy(host, ports, permitted)), recovered };
  }

  const result = await runTransaction(
    host,
    {
      plan: outcome.plan,
      planHash,
      kind: 'apply',
      undoes: undefined,
      requestedBy: request.requestedBy,
      healthz: observed.healthz,
      inputs: inputsOf(observed, outcome.plan),
    },
    report,
    signal,
  );
  switch (result.kind) {
    case 'committed':
      // Node sysctls alone say nothing of a kubelet that failed.
      if (outcome.plan.placement !== undefined)
        await written(report, async () => host.state.writeLatch(undefined));
      return { kind: 'committed', planned, journal: result.journal, recovered };
    case 'refused':
      return { kind: 'refused', planned, problems: [result.problem], recovered };
    case 'rolledBack': {
      const failed = await latchAfter(host.state, planHash, result);
      if (failed !== undefined) await written(report, async () => host.state.writeLatch(failed));
      return { kind: 'rolledBack', planned, journal: result.journal, problem: result.problem, recovered };
    }
    case 'broken':
      return { kind: 'broken', journal: result.journal, problem: result.problem, recovered };
    default:
      return unreachable(result);
  }
}

/** What became of the node stands, also when a note of it cannot be written. */
async function written(report: Report, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    await report({ kind: 'auditFailed', message: problemOf(error).message });
  }
}

/**
 * Names a change by what it does to which bytes: the same wish on another state of the node is another plan. A change of
 * the kubelet has the same name whatever node sysctls are put right beside it, since they come and go.
 */
export function hashOf(plan: Plan): string {
  const ofKubelet = plan.placement !== undefined;
  const files = plan.files.filter(({ path }) => !ofKubelet || path !== sysctlFilePath);
  const essence = {
    unit: plan.unit,
    files: files.map((file) => ({
      path: file.path,
      before: file.before?.sha256 ?? null,
      after: file.after,
    })),
    sysctls: ofKubelet ? [] : plan.sysctlWrites.map(({ name, value }) => ({ name, value })),
  };
  return createHash('sha256').update(canonical(essence)).digest('hex');
}
