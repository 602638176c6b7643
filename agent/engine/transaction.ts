import { AgentError, type Problem, problemOf } from '../errors.ts';
import type { LoadedUnit } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';
import type { Journal, Verdict } from '../transaction/journal.ts';
import { type ApplyStep, stateAfter, stepsOf } from '../transaction/steps.ts';
import { probationFor, restartDeadline, waitForStartLimit, watchdogAfter } from '../transaction/timing.ts';
import { previousPath } from '../transaction/watchdog.ts';
import { closeJournal, undisturbed } from './close.ts';
import type { HostPorts, Report } from './ports.ts';
import { proveLoaded } from './prove.ts';
import { watchProbation } from './probation.ts';
import { rollBack } from './roll-back.ts';
import { arm, directoriesToMake, markWriting, stage } from './stage.ts';
import { stillAsPlanned, type TransactionInput } from './inputs.ts';
import { writeFile, writeSysctls } from './write-plan.ts';

export interface TransactionRequest {
  readonly plan: Plan;
  readonly planHash: string;
  readonly kind: 'apply' | 'rollback';
  readonly undoes: string | undefined;
  readonly requestedBy: string;
  readonly healthz: { readonly address: string; readonly port: number };
  /** What the kubelet reads at its start and this transaction does not write. */
  readonly inputs: readonly TransactionInput[];
}

/** How it ended for the node. `refused`: nothing was touched. `broken`: a person must look at the node. */
export type TransactionOutcome =
  | { readonly kind: 'committed'; readonly journal: Journal }
  | { readonly kind: 'refused'; readonly problem: Problem }
  | { readonly kind: 'rolledBack'; readonly journal: Journal; readonly problem: Problem }
  | { readonly kind: 'broken'; readonly journal: Journal; readonly problem: Problem };

/**
 * Carries a plan out, or leaves the node as it was. Whatever fails, or gives no answer in time, is rolled back;
 * if this process dies, the host's watchdog does it. The caller holds the lock of the state directory.
 */
export async function runTransaction(
  host: HostPorts,
  request: TransactionRequest,
  told: Report,
  signal: AbortSignal,
): Promise<TransactionOutcome> {
  const { plan } = request;
  const report = undisturbed(told);
  let unit: LoadedUnit | undefined;
  if (plan.restart) {
    unit = await host.systemd.observe(plan.unit);
    const waitMs = waitForStartLimit(unit, host.clock.now());
    if (waitMs > 0) {
      await report({
        kind: 'waiting',
        forMs: waitMs,
        why: 'the kubelet was started a moment ago; another start now could hit its start limit',
      });
      try {
        await host.clock.sleep(waitMs, signal);
      } catch {
        return { kind: 'refused', problem: interrupted() };
      }
    }
  }
  const transaction = new Transaction(host, request, unit, report, signal);
  for (const step of stepsOf(plan)) {
    const failure = await transaction.take(step);
    if (failure !== undefined) return transaction.end(step, failure);
  }
  return { kind: 'committed', journal: transaction.journal };
}

/** One run of the steps. INVARIANT: `touched` is set before the first byte of the node's own files changes. */
class Transaction {
  journal: Journal;
  private readonly host: HostPorts;
  private readonly request: TransactionRequest;
  private readonly report: Report;
  private readonly signal: AbortSignal;
  private readonly probationMs: number;
  private readonly restartMs: number;
  private touched = false;

  constructor(
    host: HostPorts,
    request: TransactionRequest,
    unit: LoadedUnit | undefined,
    report: Report,
    signal: AbortSignal,
  ) {
    this.host = host;
    this.request = request;
    this.report = report;
    this.signal = signal;
    this.probationMs = unit === undefined ? 0 : probationFor(request.plan.probationMs, unit);
    this.restartMs = unit === undefined ? 0 : restartDeadline(unit, host.deadlines);
    const nowMs = host.clock.now();
    this.journal = {
      schema: 1,
      id: `${new Date(nowMs).toISOString().replaceAll(/[-:]/g, '').replace('.', '')}-${request.planHash.slice(0, 8)}`,
      kind: request.kind,
      undoes: request.undoes,
      planHash: request.planHash,
      state: 'staged',
      startedAtMs: nowMs,
      updatedAtMs: nowMs,
      bootId: host.bootId,
      requestedBy: request.requestedBy,
      plan: request.plan,
      baseline: unit === undefined ? undefined : { mainPid: unit.mainPid, invocationId: unit.invocationId },
      watchdogAfterMs: watchdogAfter(this.probationMs, this.restartMs, host.deadlines),
      verdict: undefined,
    };
  }

  async take(step: ApplyStep): Promise<Problem | undefined> {
    const startedAt = this.host.clock.monotonic();
    try {
      this.signal.throwIfAborted();
      await this.report({ kind: 'stepStarted', step });
      this.signal.throwIfAborted();
      await this.stillArmed(step);
      await this.executors[step]();
      if (step !== 'commit' && step !== 'stage') {
        this.journal = { ...this.journal, state: stateAfter[step], updatedAtMs: this.host.clock.now() };
        await this.host.state.writeJournal(this.journal);
      }
      await this.report({ kind: 'stepFinished', step, tookMs: this.host.clock.monotonic() - startedAt });
      return undefined;
    } catch (error) {
      const problem = this.signal.aborted ? interrupted() : problemOf(error);
      await this.report({ kind: 'stepFailed', step, code: problem.code, message: problem.message });
      return problem;
    }
  }

  /** An agent that was held up for long must not write, reload or restart behind the watchdog's back. */
  private async stillArmed(step: ApplyStep): Promise<void> {
    if (!this.plan.restart || step === 'stage' || step === 'arm') return;
    if ((await this.host.state.token(this.journal.id)) !== 'armed') {
      throw new AgentError(
        'WATCHDOG_FIRED',
        "the host's watchdog rolled the change back before it was committed",
      );
    }
  }

  async end(failedStep: ApplyStep, problem: Problem): Promise<TransactionOutcome> {
    if (failedStep === 'stage' && !this.touched) {
      // Not even the journal may have been written; what there is of it is closed as far as the disk allows.
      await this.closeUntouched(problem).catch(() => undefined);
      return { kind: 'refused', problem };
    }
    const verdict = await rollBack(this.host, this.journal, {
      problem,
      healthz: this.request.healthz,
      report: this.report,
      by: 'agent',
    });
    if (verdict.kind === 'broken')
      return { kind: 'broken', journal: verdict.journal, problem: verdict.problem };
    return this.touched
      ? { kind: 'rolledBack', journal: verdict.journal, problem: verdict.problem }
      : { kind: 'refused', problem };
  }

  private readonly executors: Readonly<Record<ApplyStep, () => Promise<void>>> = {
    stage: async () => {
      const madeDirectories = await directoriesToMake(this.host.files, this.plan);
      this.journal = { ...this.journal, madeDirectories };
      await stage(this.host, this.journal);
    },
    arm: async () => arm(this.host, this.journal),
    writeSysctls: async () => {
      this.touched = this.plan.sysctlWrites.length > 0;
      await writeSysctls(this.host, this.plan);
    },
    writeFiles: async () => this.writeFiles(),
    reload: async () => this.host.systemd.reload(),
    prove: async () => this.prove(),
    restart: async () => this.restart(),
    observe: async () => this.observe(),
    commit: async () => this.commit(),
  };

  private async writeFiles(): Promise<void> {
    await markWriting(this.host, this.journal);
    for (const file of this.plan.files) {
      const previous = this.touched;
      // Set before the attempt: a rename may have happened although its directory could not be flushed.
      this.touched = true;
      try {
        await writeFile(this.host.files, file);
      } catch (error) {
        const now = await this.host.files.read(file.path).catch(() => undefined);
        if ((now?.text ?? null) !== file.after) this.touched = previous;
        throw error;
      }
    }
  }

  private async prove(): Promise<void> {
    const { expectation } = this.plan;
    if (expectation === undefined) return;
    const problem = proveLoaded(await this.host.systemd.observe(this.plan.unit), expectation, 'after');
    if (problem !== undefined) throw new AgentError(problem.code, problem.message);
  }

  private async restart(): Promise<void> {
    const { systemd } = this.host;
    await stillAsPlanned(this.host.files, this.request.inputs);
    this.journal = { ...this.journal, restartTried: true };
    await systemd.resetFailed(this.plan.unit);
    this.signal.throwIfAborted();
    const result = await systemd.restart(this.plan.unit, { deadlineMs: this.restartMs, signal: this.signal });
    switch (result.kind) {
      case 'timedOut':
        throw new AgentError(
          'RESTART_TIMED_OUT',
          `systemd did not finish the restart of ${this.plan.unit} within ${this.restartMs} ms`,
        );
      case 'refused':
        throw new AgentError(
          'RESTART_FAILED',
          `systemd refused to restart ${this.plan.unit}: ${result.reason}`,
        );
      case 'finished':
        if (result.result !== 'done') {
          throw new AgentError(
            'RESTART_FAILED',
            `the restart of ${this.plan.unit} ended with ${result.result}`,
          );
        }
    }
  }

  private async observe(): Promise<void> {
    await watchProbation(this.host, this.plan, {
      probationMs: this.probationMs,
      healthz: this.request.healthz,
      entries: this.plan.expectation?.entries ?? [],
      signal: this.signal,
    });
  }

  private async commit(): Promise<void> {
    const { state } = this.host;
    if (this.plan.restart && !(await state.claim(this.journal.id, 'armed', 'committed'))) {
      throw new AgentError(
        'WATCHDOG_FIRED',
        "the host's watchdog rolled the change back before it was committed",
      );
    }
    const verdict: Verdict = {
      kind: 'committed',
      code: undefined,
      message: 'proven and committed',
      by: this.request.kind === 'rollback' ? 'person' : 'agent',
      keptForeignFiles: [],
    };
    try {
      this.journal = await closeJournal(this.host, this.journal, verdict, this.report);
    } catch (error) {
      // Without a watchdog the journal is the commit. With one, the token was: the journal is closed by the next run.
      if (!this.plan.restart) throw error;
      this.journal = { ...this.journal, state: 'committed', verdict };
    }
  }

  private async closeUntouched(problem: Problem): Promise<void> {
    for (const file of this.plan.files) await this.host.files.discard(previousPath(file.path));
    if ((await this.host.state.readJournal())?.id !== this.journal.id) return;
    const verdict: Verdict = {
      kind: 'rolledBack',
      code: problem.code,
      message: problem.message,
      by: 'agent',
      keptForeignFiles: [],
    };
    await closeJournal(this.host, this.journal, verdict, this.report);
  }

  private get plan(): Plan {
    return this.request.plan;
  }
}

function interrupted(): Problem {
  return { code: 'INTERRUPTED', message: 'stopped by a signal before the change was proven' };
}
