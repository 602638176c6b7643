import type { ErrorCode, Problem } from '../errors.ts';
import type { Latch } from '../host/latch.ts';
import type { StateDirectory } from '../host/state-directory.ts';
import type { Journal } from '../transaction/journal.ts';
import type { RetrySource } from './loop-ports.ts';

/**
 * Why this plan is not to be tried again; undefined when it may be. Nobody may have lived, or been able to see, why
 * a change fails: after two restarts in a row that were taken back for whatever reason it is latched all the same.
 */
export async function latchOf(
  state: Pick<StateDirectory, 'readLatch' | 'history'>,
  planHash: string,
): Promise<Latch | undefined> {
  const latch = await state.readLatch();
  if (latch?.planHash === planHash) return latch;
  const attempts = (await state.history()).filter((journal) => journal.planHash === planHash).slice(0, 2);
  const [last] = attempts;
  if (last === undefined || attempts.length < 2 || !attempts.every(isStrike)) return undefined;
  return {
    planHash,
    code: last.verdict?.code ?? 'INTERRUPTED',
    message: `twice in a row it was put back: ${last.verdict?.message ?? 'nobody committed it'}`,
    sinceMs: last.startedAtMs,
    transaction: last.id,
  };
}

/** Whether a person wants the latched change tried once more. One that fails again has another id, and is not meant. */
export function isRetried(latch: Latch | undefined, retry: RetrySource): boolean {
  return latch !== undefined && latch.transaction === retry.transaction();
}

/** The latch that a roll-back leaves behind: at once where the kubelet itself said no, else with the second in a row. */
export async function latchAfter(
  state: Pick<StateDirectory, 'readLatch' | 'history'>,
  planHash: string,
  { problem, journal }: { readonly problem: Problem; readonly journal: Journal },
): Promise<Latch | undefined> {
  const { code, message } = problem;
  // Without a restart nothing was at risk: it may be tried again, and must not take the place of a kubelet's latch.
  if (!journal.plan.restart) return undefined;
  if (!kubeletsVerdicts.has(code)) return latchOf(state, planHash).catch(() => undefined);
  return { planHash, code, message, sinceMs: journal.updatedAtMs, transaction: journal.id };
}

/** Verdicts of the kubelet itself: the same plan would fail again. */
const kubeletsVerdicts: ReadonlySet<ErrorCode> = new Set([
  'PROOF_FAILED',
  'RESTART_FAILED',
  'RESTART_TIMED_OUT',
  'KUBELET_EXITED',
  'KUBELET_RESTARTED',
  'KUBELET_NOT_ANSWERING',
  'FLAG_NOT_IN_FORCE',
]);

/** A kubelet had to be started again for it. Somebody who stops the agent says nothing about the change. */
function isStrike({ verdict, restartTried }: Journal): boolean {
  if (verdict?.kind !== 'rolledBack' || verdict.by === 'person') return false;
  return verdict.by === 'watchdog' || (restartTried === true && verdict.code !== 'INTERRUPTED');
}
