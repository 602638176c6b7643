import { createHash } from 'node:crypto';
import type { ForceableCode, Problem } from '../errors.ts';
import type { ObservedNode } from '../plan/observed.ts';
import { makePlan } from '../plan/make-plan.ts';
import type { Plan, PlanOutcome } from '../plan/plan.ts';
import { canonical } from '../policy/hash.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { Journal } from '../transaction/journal.ts';
import { type ObservationPorts, observeNode } from './observe.ts';
import type { HostPorts, Report } from './ports.ts';
import { finishInterrupted, type RecoveryOutcome } from './recover.ts';
import { runTransaction } from './transaction.ts';

export interface ApplyRequest {
  readonly policy: NodePolicy;
  readonly force: readonly ForceableCode[];
  readonly requestedBy: string;
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

/** Verdicts of the kubelet itself: the same plan would fail again, so it is latched. Interruptions are not. */
const latchingCodes: ReadonlySet<string> = new Set([
  'PROOF_FAILED',
  'RESTART_FAILED',
  'KUBELET_EXITED',
  'KUBELET_RESTARTED',
  'KUBELET_NOT_ANSWERING',
  'FLAG_NOT_IN_FORCE',
  'SYSCTL_WRITE_FAILED',
]);

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
  const { policy, force, report, signal } = request;
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
  const latch = await host.state.readLatch();
  if (latch?.planHash === planHash && !force.includes('PLAN_LATCHED')) {
    const problem: Problem = {
      code: 'PLAN_LATCHED',
      message: `this very change was tried at ${new Date(latch.sinceMs).toISOString()} and rolled back: ${latch.message}`,
      next: 'change the policy or the node, or try it once more with --force PLAN_LATCHED',
    };
    return { kind: 'refused', planned, problems: [problem], recovered };
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
    },
    report,
    signal,
  );
  switch (result.kind) {
    case 'committed':
      await host.state.writeLatch(undefined);
      return { kind: 'committed', planned, journal: result.journal, recovered };
    case 'refused':
      return { kind: 'refused', planned, problems: [result.problem], recovered };
    case 'rolledBack':
      if (latchingCodes.has(result.problem.code)) {
        await host.state.writeLatch({
          planHash,
          code: result.problem.code,
          message: result.problem.message,
          sinceMs: host.clock.now(),
          transaction: result.journal.id,
        });
      }
      return { kind: 'rolledBack', planned, journal: result.journal, problem: result.problem, recovered };
    case 'broken':
      return { kind: 'broken', journal: result.journal, problem: result.problem, recovered };
  }
}

/** Names a change by what it does to which bytes: the same wish on another state of the node is another plan. */
export function hashOf(plan: Plan): string {
  const essence = {
    unit: plan.unit,
    files: plan.files.map((file) => ({
      path: file.path,
      before: file.before?.sha256 ?? null,
      after: file.after,
    })),
    sysctls: plan.sysctlWrites.map(({ name, value }) => ({ name, value })),
  };
  return createHash('sha256').update(canonical(essence)).digest('hex');
}
