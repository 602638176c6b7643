import { type Problem, problemOf, unreachable } from '../errors.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { Journal } from '../transaction/journal.ts';
import { applyPolicy } from './apply.ts';
import type { SlotEnd } from '../rollout/slot-rules.ts';
import { isRetried } from './latch.ts';
import type { LoopPorts } from './loop-ports.ts';
import type { TransactionEvent } from './ports.ts';
import { finishInterrupted } from './recover.ts';

/** How an apply or a recovery ended for the loop. `nothing`: there was nothing (left) to do. */
export interface Ended {
  /** A kubelet was restarted on the way. */
  readonly restarted: boolean;
  readonly result: 'committed' | 'nothing' | 'refused' | 'rolledBack' | 'broken';
  readonly problems: readonly Problem[];
}

/** What a slot's holder tells of such an end. That there was nothing to do proves no kubelet: the next look may. */
export function slotEndOf({ result }: Pick<Ended, 'result'>): SlotEnd {
  return result === 'nothing' ? 'refused' : result;
}

/** Carries the policy out under the lock of the state directory. Never throws: what breaks is a refusal or `broken`. */
export async function applyOnce(ports: LoopPorts, policy: NodePolicy): Promise<Ended> {
  return underLock(ports, async (report) => {
    const latch = await ports.host.state.readLatch();
    const outcome = await applyPolicy(ports.host, ports.observation, {
      policy,
      force: isRetried(latch, ports.retry) ? ['PLAN_LATCHED'] : [],
      requestedBy: ports.requestedBy,
      report,
      signal: neverStopped,
    });
    const { recovered } = outcome;
    if (recovered.kind === 'rolledBack') countRollback(ports, recovered.journal);
    switch (outcome.kind) {
      case 'converged':
        return { result: 'nothing', problems: [] };
      case 'committed':
        return { result: 'committed', problems: [] };
      case 'refused':
        return { result: 'refused', problems: outcome.problems };
      case 'rolledBack':
        countRollback(ports, outcome.journal);
        return { result: 'rolledBack', problems: [outcome.problem] };
      case 'broken':
        return { result: 'broken', problems: [outcome.problem] };
      default:
        return unreachable(outcome);
    }
  });
}

/** Ends what an earlier agent left behind: forward if the kubelet has proven itself, else back. Never throws. */
export async function recoverOnce(
  ports: LoopPorts,
  healthz: { readonly address: string; readonly port: number },
): Promise<Ended> {
  return underLock(ports, async (report) => {
    const recovered = await finishInterrupted(ports.host, {
      healthz,
      report,
      signal: neverStopped,
      direction: 'any',
    });
    switch (recovered.kind) {
      case 'nothing':
        return { result: 'nothing', problems: [] };
      case 'committed':
        return { result: 'committed', problems: [] };
      case 'rolledBack':
        countRollback(ports, recovered.journal);
        return { result: 'rolledBack', problems: [recovered.problem] };
      case 'broken':
        return { result: 'broken', problems: [recovered.problem] };
      default:
        return unreachable(recovered);
    }
  });
}

// An aborted signal would roll the change back. A stopping agent just ends: journal and watchdog carry the rest.
const neverStopped = new AbortController().signal;

async function underLock(
  ports: LoopPorts,
  work: (report: (event: TransactionEvent) => Promise<void>) => Promise<Omit<Ended, 'restarted'>>,
): Promise<Ended> {
  const { host, publish, log } = ports;
  let began = false;
  let restarted = false;
  const report = async (event: TransactionEvent): Promise<void> => {
    if (event.kind === 'stepStarted') {
      began = true;
      restarted ||= event.step === 'restart' || event.step === 'restartOld';
      if (event.step === 'restart') publish.kubeletRestarted('apply');
      if (event.step === 'restartOld') publish.kubeletRestarted('rollback');
    }
    logTransaction(log, event);
    return Promise.resolve();
  };
  const startedAt = host.clock.monotonic();
  let lock: { release(): Promise<void> } | undefined;
  let ended: Omit<Ended, 'restarted'>;
  try {
    lock = await host.state.lock();
    publish.atRisk(host.clock.now());
    ended = await work(report);
  } catch (error) {
    const problem = problemOf(error);
    // Once a step had begun nobody has said how the node stands: the watchdog may still have to act.
    ended = {
      result: began || problem.code === 'JOURNAL_UNREADABLE' ? 'broken' : 'refused',
      problems: [problem],
    };
  } finally {
    await lock?.release();
  }
  if (lock !== undefined && ended.result !== 'broken') publish.atRisk(undefined);
  // Without the lock nothing was tried: another agent is at work.
  if (lock !== undefined && ended.result !== 'nothing') {
    publish.applied(ended.result, host.clock.monotonic() - startedAt);
  }
  return { ...ended, restarted };
}

function countRollback(ports: LoopPorts, { verdict }: Journal): void {
  if (verdict !== undefined) ports.publish.rolledBack(verdict.code ?? 'INTERNAL', verdict.by);
}

function logTransaction(log: LoopPorts['log'], event: TransactionEvent): void {
  switch (event.kind) {
    case 'planned':
      log('debug', 'planned', { outcome: event.outcome.kind }, 'planned');
      return;
    case 'waiting':
      log('info', 'waiting', { forMs: Math.round(event.forMs) }, event.why);
      return;
    case 'stepStarted':
      log('debug', 'stepStarted', { step: event.step }, 'step started');
      return;
    case 'stepFinished':
      log('info', 'stepFinished', { step: event.step, tookMs: Math.round(event.tookMs) }, 'step finished');
      return;
    case 'stepFailed':
      log('warn', 'stepFailed', { step: event.step, code: event.code }, event.message);
      return;
    case 'auditFailed':
      log('warn', 'auditFailed', {}, event.message);
      return;
    case 'closed': {
      const { id, verdict } = event.journal;
      log(
        'info',
        'transactionClosed',
        { transaction: id, verdict: verdict?.kind, code: verdict?.code },
        verdict?.message ?? 'closed',
      );
    }
  }
}
