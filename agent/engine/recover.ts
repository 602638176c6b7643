import type { Problem } from '../errors.ts';
import { AgentError, problemOf, unreachable } from '../errors.ts';
import type { Journal, Verdict } from '../transaction/journal.ts';
import { recover, type Remains } from '../transaction/recovery.ts';
import { isOpen } from '../transaction/steps.ts';
import { probationFor, restartDeadline, watchdogAfter } from '../transaction/timing.ts';
import { watchdogCommand, watchdogNames } from '../transaction/watchdog.ts';
import { closeJournal, undisturbed } from './close.ts';
import type { HostPorts, Report } from './ports.ts';
import { watchProbation } from './probation.ts';
import { proveLoaded } from './prove.ts';
import { rollBack } from './roll-back.ts';

export type RecoveryOutcome =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'committed'; readonly journal: Journal }
  | { readonly kind: 'rolledBack'; readonly journal: Journal; readonly problem: Problem }
  | { readonly kind: 'broken'; readonly journal: Journal; readonly problem: Problem };

export interface RecoveryRequest {
  readonly healthz: { readonly address: string; readonly port: number };
  readonly report: Report;
  readonly signal: AbortSignal;
  /** `back`: never forward, whatever the kubelet proved. */
  readonly direction: 'any' | 'back';
}

/** Ends what an earlier agent began and could not finish: forward if the kubelet proves itself, otherwise back. */
export async function finishInterrupted(host: HostPorts, asked: RecoveryRequest): Promise<RecoveryOutcome> {
  const request = { ...asked, report: undisturbed(asked.report) };
  const journal = await host.state.readJournal();
  if (journal === undefined || !isOpen(journal.state)) return { kind: 'nothing' };
  const interrupted: Problem = {
    code: 'INTERRUPTED',
    message: 'the agent that began this transaction did not finish it',
  };
  const back = async (problem: Problem, by: Verdict['by']): Promise<RecoveryOutcome> =>
    rollBack(host, journal, { problem, healthz: request.healthz, by, report: request.report });

  const decision = recover(await remainsOf(host, journal));
  switch (decision) {
    case 'nothing':
      return { kind: 'nothing' };
    case 'closeCommitted':
      return committed(host, journal, request.report, 'committed; the agent ended before it could say so');
    case 'closeRolledBack': {
      const problem: Problem = {
        code: 'WATCHDOG_FIRED',
        message: "the host's watchdog rolled the change back: nobody had committed it in time",
      };
      // Looked at all the same: the files must be the old ones and the kubelet must run.
      return back(problem, 'watchdog');
    }
    case 'rollBack':
      return back(interrupted, request.direction === 'back' ? 'person' : 'agent');
    case 'resumeProbation':
      if (request.direction === 'back') return back(interrupted, 'person');
      return resume(host, journal, request, back);
    default:
      return unreachable(decision);
  }
}

async function resume(
  host: HostPorts,
  journal: Journal,
  request: RecoveryRequest,
  back: (problem: Problem, by: Verdict['by']) => Promise<RecoveryOutcome>,
): Promise<RecoveryOutcome> {
  try {
    const unit = await host.systemd.observe(journal.plan.unit);
    const { expectation, reload } = journal.plan;
    // The last agent may have died before it proved what a crash of the kubelet has started since.
    const unproven =
      reload && expectation !== undefined ? proveLoaded(unit, expectation, 'after') : undefined;
    if (unproven !== undefined) throw new AgentError(unproven.code, unproven.message);
    const probationMs = probationFor(journal.plan.probationMs, unit);
    await rearm(
      host,
      journal,
      watchdogAfter(probationMs, restartDeadline(unit, host.deadlines), host.deadlines),
    );
    await request.report({ kind: 'stepStarted', step: 'observe' });
    const startedAt = host.clock.monotonic();
    await watchProbation(host, journal.plan, {
      probationMs,
      healthz: request.healthz,
      entries: journal.plan.expectation?.entries ?? [],
      signal: request.signal,
    });
    await request.report({
      kind: 'stepFinished',
      step: 'observe',
      tookMs: host.clock.monotonic() - startedAt,
    });
  } catch (error) {
    return back(problemOf(error), 'agent');
  }
  if (!(await host.state.claim(journal.id, 'armed', 'committed'))) {
    return back(
      {
        code: 'WATCHDOG_FIRED',
        message: "the host's watchdog rolled the change back before it was committed",
      },
      'watchdog',
    );
  }
  return committed(host, journal, request.report, 'proven and committed after the agent was interrupted');
}

/**
 * A new probation needs its whole time: the old timer may be about to fire. It runs until the new one does, so that
 * there is no moment without one.
 */
async function rearm(host: HostPorts, journal: Journal, afterMs: number): Promise<void> {
  const { systemd } = host;
  const [first, second] = watchdogNames;
  const running = (await systemd.isActive(`${first}.timer`)) ? first : second;
  const next = running === first ? second : first;
  await systemd.stopTimer(next);
  await systemd.startTimer({
    name: next,
    description: `Puts back the files of ${journal.plan.unit} unless transaction ${journal.id} is committed`,
    afterMs,
    command: watchdogCommand(host.state.backupPath(journal.id)),
  });
  await systemd.stopTimer(running);
}

async function committed(
  host: HostPorts,
  journal: Journal,
  report: Report,
  message: string,
): Promise<RecoveryOutcome> {
  const verdict: Verdict = { kind: 'committed', code: undefined, message, by: 'agent', keptForeignFiles: [] };
  return { kind: 'committed', journal: await closeJournal(host, journal, verdict, report) };
}

async function remainsOf(host: HostPorts, journal: Journal): Promise<Remains> {
  const pulse = journal.plan.restart ? await host.systemd.pulse(journal.plan.unit) : undefined;
  return {
    state: journal.state,
    token: await host.state.token(journal.id),
    files: await filesNow(host, journal),
    restartPlanned: journal.plan.restart,
    kubeletRestarted:
      pulse !== undefined && pulse.mainPid !== 0 && pulse.invocationId !== journal.baseline?.invocationId,
    sameBoot: journal.bootId === host.bootId,
  };
}

async function filesNow(host: HostPorts, journal: Journal): Promise<Remains['files']> {
  const states = new Set<Remains['files']>();
  for (const file of journal.plan.files) {
    const text = (await host.files.read(file.path).catch(() => undefined))?.text ?? null;
    states.add(text === file.after ? 'after' : text === (file.before?.text ?? null) ? 'before' : 'other');
  }
  const [only] = states;
  return states.size === 1 && only !== undefined ? only : 'other';
}
