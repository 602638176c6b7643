import { type ForceableCode, type Problem, unreachable } from '../errors.ts';
import { narrowed } from '../kubelet/allowlist.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { ObservedNode } from '../plan/observed.ts';
import type { Expectation, Plan } from '../plan/plan.ts';
import { podsAtRisk, removalInUse } from '../plan/removal.ts';
import { restartProblemsForRollback } from '../plan/refusals.ts';
import type { Journal } from '../transaction/journal.ts';
import { sha256 } from '../host/read-text.ts';
import { hashOf } from './apply.ts';
import { inputsOf } from './inputs.ts';
import { type ObservationPorts, observeNode } from './observe.ts';
import type { HostPorts, Report } from './ports.ts';
import { finishInterrupted } from './recover.ts';
import { runTransaction } from './transaction.ts';

export interface RollBackLastRequest {
  readonly force: readonly ForceableCode[];
  readonly requestedBy: string;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export type RollBackLastOutcome =
  /** What the last committed apply replaced is back. */
  | { readonly kind: 'committed'; readonly journal: Journal; readonly warnings: readonly Problem[] }
  /** An interrupted transaction was taken back; the last committed one was not touched. */
  | { readonly kind: 'finished'; readonly journal: Journal }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] }
  /** The kubelet failed with its old command line, so the newer one was put back. */
  | { readonly kind: 'rolledBack'; readonly journal: Journal; readonly problem: Problem }
  | { readonly kind: 'broken'; readonly journal: Journal; readonly problem: Problem };

/**
 * Puts back what the last committed apply replaced, as a transaction of its own with every safety of an apply. Going
 * back is a narrowing too: pods that use what the apply allowed would be killed, so it says which, where it can know.
 */
export async function rollBackLast(
  host: HostPorts,
  ports: ObservationPorts,
  request: RollBackLastRequest,
): Promise<RollBackLastOutcome> {
  const { force, report, signal } = request;
  const open = await host.state.readJournal();
  const unitName = open?.plan.unit ?? 'kubelet.service';
  const observed = await observeNode(ports, { unit: unitName, sysctls: [] });
  const finished = await finishInterrupted(host, {
    healthz: observed.healthz,
    report,
    signal,
    direction: 'back',
  });
  if (finished.kind === 'broken') return finished;
  if (finished.kind === 'rolledBack') return { kind: 'finished', journal: finished.journal };

  const last = await lastCommitted(host);
  if (last === undefined) {
    return {
      kind: 'refused',
      problems: [
        {
          code: 'NOTHING_TO_ROLL_BACK',
          message: 'no committed apply is left to be rolled back on this node',
        },
      ],
    };
  }
  const plan = await reverse(host, observed, last);
  if ('problem' in plan) return { kind: 'refused', problems: [plan.problem] };

  const { problems, warnings } = await objections(observed, plan.plan, host.clock.now());
  const blocking = problems.filter((problem) => !force.some((code) => code === problem.code));
  if (blocking.length > 0) return { kind: 'refused', problems: blocking };

  const result = await runTransaction(
    host,
    {
      plan: plan.plan,
      planHash: hashOf(plan.plan),
      kind: 'rollback',
      undoes: last.id,
      requestedBy: request.requestedBy,
      healthz: observed.healthz,
      inputs: inputsOf(observed, plan.plan),
    },
    report,
    signal,
  );
  switch (result.kind) {
    case 'committed':
      return { ...result, warnings };
    case 'refused':
      return { kind: 'refused', problems: [result.problem] };
    case 'rolledBack':
    case 'broken':
      return result;
    default:
      return unreachable(result);
  }
}

/** The newest apply that was committed and not undone since. */
async function lastCommitted(host: HostPorts): Promise<Journal | undefined> {
  const history = await host.state.history();
  const undone = new Set(
    history
      .filter((journal) => journal.kind === 'rollback' && journal.state === 'committed')
      .map((journal) => journal.undoes),
  );
  return history.find(
    (journal) => journal.kind === 'apply' && journal.state === 'committed' && !undone.has(journal.id),
  );
}

/** The same plan backwards. Refused where a file is no longer what the apply wrote: somebody's edit would be lost. */
async function reverse(
  host: HostPorts,
  observed: ObservedNode,
  journal: Journal,
): Promise<{ plan: Plan } | { problem: Problem }> {
  const { plan } = journal;
  const files: Plan['files'][number][] = [];
  for (const file of plan.files) {
    const now = await host.files.read(file.path);
    if ((now?.text ?? null) !== file.after) {
      return {
        problem: {
          code: 'FILE_CHANGED',
          message: `${file.path} was changed since ${journal.id} wrote it; putting the old file back would lose that change`,
          next: `the old file is ${host.state.backupPath(journal.id)}/${plan.files.indexOf(file)}; or apply a policy with existing: Remove`,
        },
      };
    }
    files.push({
      path: file.path,
      before:
        now === undefined
          ? null
          : { sha256: sha256(now.text), mode: now.mode, uid: now.uid, gid: now.gid, text: now.text },
      after: file.before?.text ?? null,
    });
  }
  const expectation: Expectation | undefined =
    plan.expectation === undefined
      ? undefined
      : {
          commandBefore: plan.expectation.commandAfter,
          commandAfter: plan.expectation.commandBefore,
          dropInPathsAfter: [],
          settings: observed.unit?.settings ?? plan.expectation.settings,
          // The old command line need not have the flag at all; its words are proven one by one.
          entries: [],
        };
  const { entries } = plan;
  return {
    plan: {
      ...plan,
      entries: {
        inForce: entries.after,
        after: entries.inForce,
        added: entries.removed,
        kept: entries.kept,
        removed: entries.added,
      },
      files,
      expectation,
      sysctlWrites: plan.sysctlWrites.map((write) => ({
        name: write.name,
        before: write.value,
        value: write.before,
      })),
      podsAtRisk: [],
      healthzRequired: observed.health === 'ok',
    },
  };
}

async function objections(
  observed: ObservedNode,
  plan: Plan,
  nowMs: number,
): Promise<{ problems: readonly Problem[]; warnings: readonly Problem[] }> {
  const safe = safeSysctls(
    parseKubeletVersion(observed.kubeletVersion ?? ''),
    parseKernelRelease(observed.kernelRelease ?? ''),
  );
  const lost = narrowed(plan.entries.inForce, plan.entries.after, safe);
  const problems =
    plan.restart && observed.unit !== undefined
      ? [...restartProblemsForRollback(observed, observed.unit, nowMs)]
      : [];
  if (lost.length === 0) return { problems, warnings: [] };
  if (observed.pods.kind === 'unknown') {
    return {
      problems,
      warnings: [
        {
          code: 'REMOVAL_UNCHECKED',
          message: `${lost.join(', ')} is no longer allowed; whether running pods used it could not be checked: ${observed.pods.reason}`,
        },
      ],
    };
  }
  problems.push(...removalInUse(podsAtRisk(observed.pods, plan.entries.inForce, plan.entries.after, safe)));
  return { problems, warnings: [] };
}
