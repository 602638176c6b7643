import { problemOf } from '../errors.ts';
import { canonical } from '../policy/hash.ts';
import type { LoopState } from '../transaction/loop-position.ts';
import type { Ended } from './loop-apply.ts';
import type { Look } from './loop-look.ts';
import type { LoopPorts } from './loop-ports.ts';
import { logLook, type Standing, stateOf } from './loop-words.ts';
import { lastTransactionOf, statusFacts, type StatusRequest } from './loop-status.ts';

type ReportRequest = Omit<StatusRequest, 'state' | 'lastTransaction' | 'nowMs'>;

/** What the loop says of itself: its state, how work ended, who restarted the kubelet, and the report to the cluster. */
export class LoopVoice {
  private readonly ports: Pick<LoopPorts, 'publish' | 'log' | 'reporter' | 'host'>;
  private reported: { readonly text: string; readonly atMs: number } | undefined;
  private ownRestart = false;
  private last: ReportRequest | undefined;
  state: LoopState | undefined;

  constructor(ports: LoopVoice['ports']) {
    this.ports = ports;
  }

  showState(state: LoopState): void {
    if (state === this.state) return;
    this.ports.publish.state(state);
    this.ports.log('info', 'state', { from: this.state ?? null, to: state }, `now ${state}`);
    this.state = state;
  }

  logEnd(event: string, { result, problems, restarted }: Ended): void {
    this.ownRestart ||= restarted;
    const fine = result === 'committed' || result === 'nothing';
    const codes = problems.map(({ code }) => code);
    this.ports.log(fine ? 'info' : 'error', event, { result, codes }, problems[0]?.message ?? result);
  }

  /** Metrics, log, state and report of a look. */
  async tellOf(
    before: Look | undefined,
    look: Look,
    told: Omit<ReportRequest, 'look'> & { readonly standing: Standing },
  ): Promise<void> {
    const { publish, log, host } = this.ports;
    const { standing, ...request } = told;
    this.noticeRestart(before, look);
    publish.seen(host.clock.now());
    publish.drift(look.drift, request.since, look.observed.sysctlsVia);
    publish.refusals(look.problems.map(({ code }) => code));
    logLook(log, before, look);
    this.showState(stateOf(look, standing));
    await this.report({ look, ...request });
  }

  /** Reports the last look once more, under the state of now. */
  async reportState(): Promise<void> {
    if (this.last !== undefined) await this.report(this.last);
  }

  /** Counts a restart between two looks that was not ours; ours were counted when they were asked for. */
  private noticeRestart(before: Look | undefined, look: Look): void {
    const [old, now] = [before?.observed.unit?.invocationId ?? '', look.observed.unit?.invocationId ?? ''];
    if (old === '' || now === '' || old === now) return;
    if (!this.ownRestart) {
      this.ports.publish.kubeletRestarted('other');
      this.ports.log('info', 'kubeletRestarted', {}, 'the kubelet was restarted by somebody else');
    }
    this.ownRestart = false;
  }

  /** Reports what changed, and all of it once an hour. Never throws: a cluster that is away is no reason to stop. */
  private async report(request: ReportRequest): Promise<void> {
    this.last = request;
    const { reporter, host, log, publish } = this.ports;
    const lastTransaction = lastTransactionOf(await host.state.readJournal());
    publish.lastTransaction(lastTransaction);
    const state = this.state ?? 'starting';
    const facts = statusFacts({ ...request, state, lastTransaction, nowMs: host.clock.now() });
    const text = canonical({ ...facts, observedAtMs: 0 });
    const nowMs = host.clock.monotonic();
    if (this.reported?.text === text && nowMs - this.reported.atMs < reportEveryMs) return;
    try {
      await reporter.report(facts);
      this.reported = { text, atMs: nowMs };
    } catch (error) {
      const { code, message } = problemOf(error);
      log('warn', 'reportFailed', { code }, message);
    }
  }
}

const reportEveryMs = 60 * 60_000;
