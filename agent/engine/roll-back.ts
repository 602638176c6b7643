import { AgentError, type Problem, problemOf } from '../errors.ts';
import type { Journal, Verdict } from '../transaction/journal.ts';
import { probationFor, restartDeadline } from '../transaction/timing.ts';
import { filesMayBeReplaced, type RollbackStep } from '../transaction/steps.ts';
import { closeJournal, undisturbed } from './close.ts';
import type { HostPorts, Report } from './ports.ts';
import { withLastWords } from './last-words.ts';
import { proveLoaded } from './prove.ts';
import { watchProbation } from './probation.ts';
import { restoreFiles, restoreSysctls } from './restore.ts';
import { wasWriting } from './stage.ts';

export interface RollBackRequest {
  /** Why. */
  readonly problem: Problem;
  readonly healthz: { readonly address: string; readonly port: number };
  readonly by: Verdict['by'];
  readonly report: Report;
}

export interface RollBackResult {
  readonly kind: 'rolledBack' | 'broken';
  readonly journal: Journal;
  readonly problem: Problem;
}

const restartAttempts = 3;
/** The old kubelet has proven itself before; it is only watched until a crash loop would show. */
const oldKubeletProbationMs = 3_000;

/**
 * Puts the node back as it was before the transaction: files, sysctls, systemd, kubelet. Every step may be repeated,
 * and may meet the host's watchdog doing the same. Where systemd does not answer, the watchdog finishes the work.
 */
export async function rollBack(
  host: HostPorts,
  journal: Journal,
  request: RollBackRequest,
): Promise<RollBackResult> {
  const run = new RollBack(host, journal, request);
  return run.run();
}

class RollBack {
  private journal: Journal;
  private readonly host: HostPorts;
  private readonly request: RollBackRequest;
  private readonly foreign: string[] = [];
  private by: Verdict['by'];
  private restored = false;
  private filesAreBack = false;
  /** Only then is there anything that systemd must read again. */
  private filesReplaced: boolean;

  constructor(host: HostPorts, journal: Journal, request: RollBackRequest) {
    this.host = host;
    this.journal = journal;
    this.request = { ...request, report: undisturbed(request.report) };
    this.by = request.by;
    this.filesReplaced = filesMayBeReplaced(journal.state);
  }

  async run(): Promise<RollBackResult> {
    const complaints: Problem[] = [];
    for (const step of [
      'claim',
      'restoreFiles',
      'restoreSysctls',
      'reloadOld',
      'proveOld',
      'restartOld',
      'observeOld',
    ] as const) {
      // After a failure the rest is still tried: a kubelet that runs matters more than a tidy account.
      const complaint = await this.take(step);
      if (complaint !== undefined) complaints.push(complaint);
    }
    const [complaint] = complaints;
    if (
      complaint !== undefined &&
      complaint.code !== 'SYSCTL_WRITE_FAILED' &&
      (await this.watchdogFinishes())
    ) {
      this.by = 'watchdog';
      const still = await this.take('observeOld');
      return this.close(still);
    }
    return this.close(complaint);
  }

  private async take(step: Exclude<RollbackStep, 'close'>): Promise<Problem | undefined> {
    const { clock } = this.host;
    const startedAt = clock.monotonic();
    await this.request.report({ kind: 'stepStarted', step });
    try {
      await this.executors[step]();
      await this.request.report({ kind: 'stepFinished', step, tookMs: clock.monotonic() - startedAt });
      return undefined;
    } catch (error) {
      const problem = problemOf(error);
      await this.request.report({ kind: 'stepFailed', step, code: problem.code, message: problem.message });
      return problem;
    }
  }

  private readonly executors: Readonly<Record<Exclude<RollbackStep, 'close'>, () => Promise<void>>> = {
    claim: async () => this.claim(),
    restoreFiles: async () => this.restoreFiles(),
    restoreSysctls: async () => restoreSysctls(this.host, this.plan),
    reloadOld: async () => {
      if (this.plan.reload && this.filesReplaced && !this.finishedByWatchdog())
        await this.host.systemd.reload();
    },
    proveOld: async () => this.proveOld(),
    restartOld: async () => this.restartOld(),
    observeOld: async () => this.observeOld(),
  };

  /** From here on nobody can commit. If the watchdog was first, it is let finish. */
  private async claim(): Promise<void> {
    const { state } = this.host;
    const { id } = this.journal;
    if (!(await state.claim(id, 'armed', 'reverting'))) {
      const token = await state.token(id);
      if (token === 'fired' && (await this.watchdogFinishes())) this.by = 'watchdog';
      else if (token === 'restored') this.by = this.by === 'agent' ? 'watchdog' : this.by;
      this.restored = (await state.token(id)) === 'restored';
    }
    // A roll-back that is taken up again: its journal no longer says how far the apply had come.
    if (this.journal.state === 'reverting' || this.journal.state === 'broken')
      this.filesReplaced = await wasWriting(this.host, this.journal);
    this.journal = { ...this.journal, state: 'reverting', updatedAtMs: this.host.clock.now() };
    // A full disk must not stop a roll-back; the token already says that it is under way.
    await state.writeJournal(this.journal).catch(() => undefined);
  }

  private async restoreFiles(): Promise<void> {
    const restored = await restoreFiles(this.host, this.journal, { mayBeReplaced: this.filesReplaced });
    this.foreign.push(...restored.foreign);
    if (restored.replaced) {
      this.filesReplaced = true;
      // Whatever the watchdog did, systemd and the kubelet may have read these files since.
      this.restored = false;
    }
    if (restored.failure !== undefined) throw restored.failure;
    this.filesAreBack = true;
  }

  private async proveOld(): Promise<void> {
    const { expectation } = this.plan;
    if (expectation === undefined || !this.plan.reload || !this.filesReplaced) return;
    const problem = proveLoaded(await this.host.systemd.observe(this.plan.unit), expectation, 'before');
    if (problem !== undefined) throw new AgentError('ROLLBACK_FAILED', problem.message);
  }

  private async restartOld(): Promise<void> {
    if (!this.plan.restart || !(await this.kubeletIsAnother())) return;
    const { systemd } = this.host;
    const deadlineMs = restartDeadline(await systemd.observe(this.plan.unit), this.host.deadlines);
    let last = 'never tried';
    for (let attempt = 0; attempt < restartAttempts; attempt += 1) {
      await systemd.resetFailed(this.plan.unit);
      const result = await systemd.restart(this.plan.unit, { deadlineMs });
      if (result.kind === 'finished' && result.result === 'done') return;
      last =
        result.kind === 'finished' ? result.result : result.kind === 'refused' ? result.reason : 'no answer';
    }
    throw new AgentError(
      'ROLLBACK_FAILED',
      `the kubelet could not be started with its old command line: ${last}`,
    );
  }

  /** How it ends is what counts: a restart by a person, or one crash that Restart= mends, is looked at again. */
  private async observeOld(): Promise<void> {
    if (!this.plan.restart) return;
    const { clock, deadlines } = this.host;
    const end = clock.monotonic() + deadlines.graceMs;
    for (;;) {
      const problem = await this.complaintAboutOld();
      if (problem === undefined) return;
      const again = problem.code === 'KUBELET_EXITED' || problem.code === 'KUBELET_RESTARTED';
      if (!again || clock.monotonic() >= end)
        throw new AgentError('ROLLBACK_FAILED', `after the roll-back: ${problem.message}`);
      await clock.sleep(deadlines.sampleMs);
    }
  }

  private async complaintAboutOld(): Promise<Problem | undefined> {
    try {
      const unit = await this.host.systemd.observe(this.plan.unit);
      await watchProbation(this.host, this.plan, {
        probationMs: probationFor(oldKubeletProbationMs, unit),
        healthz: this.request.healthz,
        entries: [],
        signal: new AbortController().signal,
      });
      return undefined;
    } catch (error) {
      const problem = problemOf(error);
      const gone = problem.code === 'SYSTEMD_CALL_FAILED' && this.restored;
      return gone && (await this.answersHealthz()) ? undefined : problem;
    }
  }

  /** Where D-Bus is away and the watchdog did the work, the kubelet itself can still be asked. */
  private async answersHealthz(): Promise<boolean> {
    if (!this.plan.healthzRequired) return false;
    const { clock, deadlines, kubelet } = this.host;
    const { address, port } = this.request.healthz;
    const end = clock.monotonic() + deadlines.graceMs;
    while (clock.monotonic() < end) {
      if ((await kubelet.healthz(address, port)).kind === 'ok') return true;
      await clock.sleep(deadlines.sampleMs);
    }
    return false;
  }

  private async close(complaint: Problem | undefined): Promise<RollBackResult> {
    const { state } = this.host;
    const problem = await withLastWords(this.host, this.journal, this.request.problem);
    if (complaint === undefined) {
      for (const from of ['reverting', 'fired'] as const)
        await state.claim(this.journal.id, from, 'restored');
      const verdict: Verdict = {
        kind: 'rolledBack',
        code: problem.code,
        message: problem.message,
        by: this.by,
        keptForeignFiles: this.foreign,
      };
      const journal = await closeJournal(this.host, this.journal, verdict, this.request.report).catch(() => ({
        ...this.journal,
        verdict,
      }));
      return { kind: 'rolledBack', journal, problem };
    }
    // The watchdog stays armed: it may yet succeed where this process could not.
    const verdict: Verdict = {
      kind: 'broken',
      code: 'ROLLBACK_FAILED',
      message: `${problem.message}; then ${complaint.message}`,
      by: this.by,
      keptForeignFiles: this.foreign,
    };
    this.journal = { ...this.journal, state: 'broken', updatedAtMs: this.host.clock.now(), verdict };
    await state.writeJournal(this.journal).catch(() => undefined);
    return {
      kind: 'broken',
      journal: this.journal,
      problem: {
        code: 'ROLLBACK_FAILED',
        message: verdict.message,
        next:
          this.filesAreBack || this.restored
            ? `the old files are back; \`journalctl --unit ${this.plan.unit}\` says why the kubelet does not run with them`
            : `the old files are in ${state.backupPath(this.journal.id)}; put them back, reload systemd and start ${this.plan.unit}`,
      },
    };
  }

  private async kubeletIsAnother(): Promise<boolean> {
    const pulse = await this.host.systemd.pulse(this.plan.unit);
    const { baseline } = this.journal;
    // The watchdog restarted it, or the node booted, with the old files.
    if (this.restored) return pulse.activeState !== 'active';
    return (
      pulse.activeState !== 'active' ||
      baseline === undefined ||
      pulse.invocationId !== baseline.invocationId ||
      pulse.mainPid !== baseline.mainPid
    );
  }

  private finishedByWatchdog(): boolean {
    return this.restored;
  }

  /** Waits for the host's watchdog to say that it is done. False when it was never armed or time is up. */
  private async watchdogFinishes(): Promise<boolean> {
    const { state, clock, deadlines } = this.host;
    const { id, watchdogAfterMs } = this.journal;
    if (!this.plan.restart || (await state.token(id)) === 'none') return false;
    const forMs = watchdogAfterMs + deadlines.reloadMs + deadlines.restartMs;
    await this.request.report({
      kind: 'waiting',
      forMs,
      why: "at most, for the host's watchdog to put it right",
    });
    const end = clock.monotonic() + forMs;
    while (clock.monotonic() < end) {
      if ((await state.token(id)) === 'restored') {
        this.restored = true;
        return true;
      }
      await clock.sleep(deadlines.sampleMs);
    }
    return false;
  }

  private get plan(): Journal['plan'] {
    return this.journal.plan;
  }
}
