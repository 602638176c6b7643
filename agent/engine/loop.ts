import { createHash } from 'node:crypto';
import { problemOf, unreachable } from '../errors.ts';
import type { FileWatch, WatchTarget } from '../host/file-watch.ts';
import type { UnitWatch } from '../host/unit-watch.ts';
import { driftedNames } from '../plan/drift.ts';
import { canonical } from '../policy/hash.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { isOpen } from '../transaction/steps.ts';
import {
  foughtOver,
  type LoopAction,
  type LoopEvent,
  type LoopPosition,
  type LoopSettings,
  type LoopState,
  nextAction,
  startPosition,
  type Subject,
} from '../transaction/loop-rules.ts';
import { applyOnce, type Ended, recoverOnce } from './loop-apply.ts';
import { type Look, lookAtNode, policyWithout } from './loop-look.ts';
import { DriftMemory } from './loop-memory.ts';
import { podFacts } from './loop-pods.ts';
import type { LoopPorts } from './loop-ports.ts';
import { SlotKeeper } from './loop-slot.ts';
import { lastTransactionOf, statusFacts } from './loop-status.ts';
import { type SysctlEyes, sysctlEyes } from './loop-sysctls.ts';
import { logLook, stateOf } from './loop-words.ts';
import { watchTargets } from './watch-targets.ts';

/** Whether the loop still moves, for /livez and /readyz. Monotonic milliseconds. */
export interface LoopPulse {
  readonly action: LoopAction;
  readonly sinceMs: number;
  /** The last look at the node worked. */
  readonly sees: boolean;
}

/** The watching agent of one node. `run` ends when the signal is aborted, and leaves a transaction where it is. */
export class NodeLoop {
  private readonly ports: LoopPorts;
  private readonly settings: LoopSettings;
  private readonly files: FileWatch;
  private readonly policyFiles: FileWatch;
  private readonly memory: DriftMemory;
  private readonly slot: SlotKeeper;
  private readonly inbox: LoopEvent[] = [];
  private wake: (() => void) | undefined;
  private position: LoopPosition;
  private policy:
    { readonly policy: NodePolicy; readonly hash: string; readonly eyes: SysctlEyes } | undefined;
  private policyValid = true;
  private unit: { readonly name: string; readonly watch: UnitWatch } | undefined;
  private look: Look | undefined;
  private broken = false;
  private untidy = true;
  private ownRestart = false;
  private allWatched = false;
  private pods = { lookedAtMs: Number.NEGATIVE_INFINITY, changed: true };
  private reported: { readonly text: string; readonly atMs: number } | undefined;
  private shownState: LoopState | undefined;
  private moving: LoopPulse;

  constructor(ports: LoopPorts, settings: LoopSettings) {
    this.ports = ports;
    this.settings = settings;
    this.memory = new DriftMemory(ports);
    this.slot = new SlotKeeper(ports, (event) => {
      this.tell(event);
    });
    this.position = startPosition(this.monotonic);
    this.moving = { action: 'wait', sinceMs: this.monotonic, sees: false };
    this.files = ports.watchFiles(() => {
      this.notice();
    });
    this.policyFiles = ports.watchFiles(() => {
      this.tell({ kind: 'policyNoticed' });
    });
    ports.policies.onChange(() => {
      this.tell({ kind: 'policyNoticed' });
    });
    ports.pods.onChange(() => {
      this.pods.changed = true;
    });
  }

  /** Something on the node may have changed. */
  notice(): void {
    this.tell({ kind: 'noticed' });
  }

  /** The policy's sysctls, for the scrape; undefined before the first policy. */
  get eyes(): SysctlEyes | undefined {
    return this.policy?.eyes;
  }

  pulse(): LoopPulse {
    return this.moving;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.showState('starting');
    await this.memory.load();
    let event: LoopEvent = { kind: 'started' };
    try {
      while (!signal.aborted) {
        const step = nextAction(this.position, event, this.monotonic, this.settings, this.ports.random());
        this.position = step.position;
        this.moving = { ...this.moving, action: step.action, sinceMs: this.monotonic };
        event = step.action === 'wait' ? await this.wait(step.untilMs, signal) : await this.take(step.action);
      }
    } finally {
      this.slot.close();
      this.files.close();
      this.policyFiles.close();
      this.policy?.eyes.close();
      await this.unit?.watch.close().catch(() => undefined);
    }
  }

  private tell(event: LoopEvent): void {
    // Two of one kind say what one says: a storm must not grow the inbox.
    if (!this.inbox.some(({ kind }) => kind === event.kind)) this.inbox.push(event);
    this.wake?.();
  }

  private async wait(untilMs: number, signal: AbortSignal): Promise<LoopEvent> {
    const queued = this.inbox.shift();
    if (queued !== undefined) return queued;
    if (this.untidy && untilMs - this.monotonic > quietMs) {
      this.untidy = false;
      this.ports.tidy();
    }
    const woken = new AbortController();
    const stop = (): void => {
      woken.abort();
    };
    this.wake = stop;
    signal.addEventListener('abort', stop);
    try {
      await this.ports.host.clock.sleep(Math.max(0, untilMs - this.monotonic), woken.signal);
    } catch {
      // Woken.
    } finally {
      this.wake = undefined;
      signal.removeEventListener('abort', stop);
    }
    return this.inbox.shift() ?? { kind: 'timePassed' };
  }

  private async take(action: Exclude<LoopAction, 'wait'>): Promise<LoopEvent> {
    this.untidy ||= action !== 'lookAtSysctls';
    switch (action) {
      case 'loadPolicy':
        return this.loadPolicy();
      case 'lookAtNode':
        return this.lookAtNode();
      case 'lookAtSysctls':
        return this.lookAtSysctls();
      case 'askForSlot':
        return this.askForSlot();
      case 'giveUpSlot':
        await this.slot.settle({ result: 'nothing' });
        return { kind: 'timePassed' };
      case 'apply':
        return this.apply();
      default:
        return unreachable(action);
    }
  }

  private async loadPolicy(): Promise<LoopEvent> {
    const { publish, log, policies, host } = this.ports;
    // Watched first: what changes while they are read is read again.
    await this.policyFiles.update(
      policies.files.map((path): WatchTarget => ({ path, kind: 'directory', root: '/' })),
    );
    const loaded = await policies.load();
    const wasValid = this.policyValid;
    this.policyValid = loaded.ok;
    publish.policyValid(loaded.ok);
    if (!loaded.ok) {
      for (const { code, where, message } of loaded.problems)
        log('error', 'policyInvalid', { code, where }, message);
      if (this.policy !== undefined) log('warn', 'policyKept', {}, 'the last good policy stays in force');
      return { kind: 'policyLoaded', changed: false };
    }
    const { policy } = loaded;
    const hash = createHash('sha256').update(canonical(policy)).digest('hex');
    if (hash === this.policy?.hash) {
      if (!wasValid) log('info', 'policyValidAgain', {}, 'the policy can be read again and has not changed');
      return { kind: 'policyLoaded', changed: false };
    }
    const kept = this.policy === undefined ? this.memory.of(hash) : undefined;
    this.policy?.eyes.close();
    this.policy = { policy, hash, eyes: sysctlEyes(host.sysctls, policy) };
    this.slot.halted = false;
    publish.policy(policy);
    const { names, allowedUnsafeSysctls: entries, sysctls } = policy;
    log(
      'info',
      'policyLoaded',
      { policies: names, entries: entries.length, sysctls: sysctls.length },
      'policy in force',
    );
    if (kept === undefined) return { kind: 'policyLoaded', changed: true };
    this.position = startPosition(this.monotonic, kept);
    return { kind: 'policyLoaded', changed: false };
  }

  private async lookAtNode(): Promise<LoopEvent> {
    const { host, observation, publish, log } = this.ports;
    if (this.policy === undefined)
      return { kind: 'nodeSeen', wish: 'nothing', subjects: [], needsSlot: false };
    const { policy, hash, eyes } = this.policy;
    try {
      await this.watchUnit(policy.unit);
      await this.finishInterrupted();
      const look = await lookAtNode(observation, {
        policy,
        except: this.fought,
        latchedHash: (await host.state.readLatch())?.planHash,
        configz: this.ports.configz,
        nowMs: host.clock.now(),
      });
      const before = this.look;
      this.look = look;
      this.moving = { ...this.moving, sees: true };
      await eyes.look();
      this.noticeRestart(before, look);
      await this.memory.keep(hash, driftedNames(look.drift), this.position);
      publish.seen(host.clock.now());
      publish.drift(look.drift, this.memory.since, look.observed.sysctlsVia);
      publish.refusals(look.problems.map(({ code }) => code));
      // What changed between the look and the watch told nobody.
      if ((await this.follow(watchTargets(look.observed, policy.sysctls.length > 0))) > 0) this.notice();
      logLook(log, before, look);
      if (look.wish === 'nothing') this.slot.halted = false;
      this.showState(
        stateOf(look, {
          broken: this.broken,
          fighting: this.fought.length > 0,
          halted: this.slot.halted,
          waiting: this.slot.isOpen,
        }),
      );
      await this.report(look, policy, hash);
      const wish = this.broken && look.wish === 'change' ? 'refused' : look.wish;
      return { kind: 'nodeSeen', wish, subjects: look.subjects, needsSlot: look.plan?.plan.restart === true };
    } catch (error) {
      const { code, message } = problemOf(error);
      this.moving = { ...this.moving, sees: false };
      publish.lookFailed(code);
      log('error', 'lookFailed', { code }, message);
      this.showState('blind');
      return { kind: 'lookFailed' };
    }
  }

  private async watchUnit(name: string): Promise<void> {
    if (this.unit?.name === name) return;
    await this.unit?.watch.close().catch(() => undefined);
    this.unit = undefined;
    const watch = await this.ports.watchUnit(name, () => {
      this.tell({ kind: 'noticed' });
    });
    this.unit = { name, watch };
  }

  /** What an earlier agent began is ended before anything else; what another one is at is let be, by its lock. */
  private async finishInterrupted(): Promise<void> {
    const { host, log } = this.ports;
    const journal = await host.state.readJournal();
    const open = journal !== undefined && isOpen(journal.state);
    // A person must look at a broken node, unless the watchdog has put it right meanwhile.
    this.broken = journal?.state === 'broken' && (await host.state.token(journal.id)) !== 'restored';
    if (!open || this.broken || this.settings.dryRun) return;
    const { id: transaction, state } = journal;
    log('warn', 'interrupted', { transaction, state }, 'this transaction was begun and not ended');
    const ended = await recoverOnce(this.ports, this.look?.observed.healthz ?? usualHealthz);
    this.logEnd('recovered', ended);
    if (ended.result !== 'refused') await this.slot.settle(ended);
  }

  private async lookAtSysctls(): Promise<LoopEvent> {
    const { host, observation, publish } = this.ports;
    if (this.policy === undefined) {
      this.tell({ kind: 'policyNoticed' });
      return { kind: 'sysctlsSeen', changed: false };
    }
    const known = this.look?.observed.process;
    const verdicts = await this.policy.eyes.look();
    const files = this.files.changed();
    if (this.policyFiles.changed()) this.tell({ kind: 'policyNoticed' });
    const another =
      known !== undefined && observation.process(known.pid)?.argv.join('\0') !== known.argv.join('\0');
    if (this.moving.sees) publish.seen(host.clock.now());
    publish.watches(this.allWatched, this.unit?.watch.up === true);
    this.slot.showWait(this.position.slot === 'held');
    await this.lookAtPods();
    return { kind: 'sysctlsSeen', changed: verdicts || files || another };
  }

  private async lookAtPods(): Promise<void> {
    if (this.monotonic - this.pods.lookedAtMs < (this.pods.changed ? podsChangedMs : podsUnchangedMs)) return;
    this.pods = { lookedAtMs: this.monotonic, changed: false };
    this.ports.publish.pods(await podFacts(this.ports));
  }

  private async askForSlot(): Promise<LoopEvent> {
    const plan = this.look?.plan;
    const policy = this.policy?.policy;
    if (plan === undefined || policy === undefined) return Promise.resolve({ kind: 'slotRefused' });
    const { maxUnavailable, maxFailed } = policy.rollout;
    this.showState('waitingForSlot');
    this.slot.ask({
      unit: policy.unit,
      planHash: plan.hash,
      maxUnavailable,
      maxFailed,
      policies: policy.names,
    });
    return Promise.resolve({ kind: 'timePassed' });
  }

  private async apply(): Promise<LoopEvent> {
    if (this.look === undefined || this.policy === undefined) return { kind: 'lookFailed' };
    const { subjects, plan } = this.look;
    this.showState('applying');
    this.ports.log('info', 'applying', { plan: plan?.hash.slice(0, 12), subjects }, 'carrying the plan out');
    const ended = await applyOnce(this.ports, policyWithout(this.policy.policy, this.fought), 'run');
    this.logEnd('applied', ended);
    if (plan?.plan.restart === true) await this.slot.settle(ended);
    this.ports.publish.refusals(ended.problems.map(({ code }) => code));
    if (ended.result === 'committed' || ended.result === 'nothing') {
      return { kind: 'applied', result: ended.result, subjects };
    }
    this.showState(ended.result === 'rolledBack' ? 'drifted' : ended.result);
    return { kind: 'applied', result: ended.result };
  }

  private logEnd(event: string, { result, problems, restarted }: Ended): void {
    this.ownRestart ||= restarted;
    this.broken = result === 'broken';
    const fine = result === 'committed' || result === 'nothing';
    const codes = problems.map(({ code }) => code);
    this.ports.log(fine ? 'info' : 'error', event, { result, codes }, problems[0]?.message ?? result);
  }

  private noticeRestart(before: Look | undefined, look: Look): void {
    const [old, now] = [before?.observed.unit?.invocationId ?? '', look.observed.unit?.invocationId ?? ''];
    if (old === '' || now === '' || old === now) return;
    // Ours were counted when they were asked for.
    if (!this.ownRestart) {
      this.ports.publish.kubeletRestarted('other');
      this.ports.log('info', 'kubeletRestarted', {}, 'the kubelet was restarted by somebody else');
    }
    this.ownRestart = false;
  }

  private async follow(targets: readonly WatchTarget[]): Promise<number> {
    const { unwatched, added } = await this.files.update(targets);
    this.allWatched = unwatched === 0;
    this.ports.publish.watches(this.allWatched, this.unit?.watch.up === true);
    return added;
  }

  private showState(state: LoopState): void {
    if (state === this.shownState) return;
    this.ports.publish.state(state);
    this.ports.log('info', 'state', { from: this.shownState ?? null, to: state }, `now ${state}`);
    this.shownState = state;
  }

  private async report(look: Look, policy: NodePolicy, policyHash: string): Promise<void> {
    const { reporter, host, log, publish } = this.ports;
    const lastTransaction = lastTransactionOf(await host.state.readJournal());
    publish.lastTransaction(lastTransaction);
    const { shownState: state = 'starting', policyValid } = this;
    const facts = statusFacts({
      look,
      state,
      policy,
      policyHash,
      policyValid,
      since: this.memory.since,
      lastTransaction,
      nowMs: host.clock.now(),
    });
    const text = canonical({ ...facts, observedAtMs: 0 });
    if (this.reported?.text === text && this.monotonic - this.reported.atMs < reportEveryMs) return;
    try {
      await reporter.report(facts);
      this.reported = { text, atMs: this.monotonic };
    } catch (error) {
      const { code, message } = problemOf(error);
      log('warn', 'reportFailed', { code }, message);
    }
  }

  private get fought(): readonly Subject[] {
    return foughtOver(this.position, this.monotonic, this.settings);
  }

  private get monotonic(): number {
    return this.ports.host.clock.monotonic();
  }
}

// Shorter pauses are between two steps of one piece of work.
const quietMs = 500;
const usualHealthz = { address: '127.0.0.1', port: 10248 } as const;
const podsChangedMs = 15_000;
// A value inside a pod changes only when a process in it, or one with its rights, writes it.
const podsUnchangedMs = 5 * 60_000;
const reportEveryMs = 60 * 60_000;
