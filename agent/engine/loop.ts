import { createHash } from 'node:crypto';
import { problemOf, unreachable } from '../errors.ts';
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
import { type SysctlEyes, sysctlEyes } from './loop-sysctls.ts';
import { LoopVoice } from './loop-voice.ts';
import { LoopWatches } from './loop-watches.ts';
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
  private readonly watches: LoopWatches;
  private readonly voice: LoopVoice;
  private readonly memory: DriftMemory;
  private readonly slot: SlotKeeper;
  private readonly inbox: LoopEvent[] = [];
  private wake: (() => void) | undefined;
  private position: LoopPosition;
  private policy:
    { readonly policy: NodePolicy; readonly hash: string; readonly eyes: SysctlEyes } | undefined;
  private policyValid = true;
  private look: Look | undefined;
  private broken = false;
  private untidy = true;
  private pods = { lookedAtMs: Number.NEGATIVE_INFINITY, changed: true };
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
    this.voice = new LoopVoice(ports);
    this.watches = new LoopWatches(ports, {
      node: () => {
        this.notice();
      },
      policy: () => {
        this.tell({ kind: 'policyNoticed' });
      },
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
    this.voice.showState('starting');
    await this.memory.load();
    let event: LoopEvent = { kind: 'started' };
    try {
      while (!signal.aborted) {
        const step = nextAction(this.position, event, this.monotonic, this.settings, this.ports.random());
        this.position = step.position;
        this.moving = { ...this.moving, action: step.action, sinceMs: this.monotonic };
        event =
          step.action === 'wait' ? await this.wait(step.untilMs, signal) : await this.attempt(step.action);
      }
    } finally {
      this.slot.close();
      this.policy?.eyes.close();
      await this.watches.close();
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

  /** Nothing that an action throws ends the loop: it is told, and tried again later. */
  private async attempt(action: Exclude<LoopAction, 'wait'>): Promise<LoopEvent> {
    try {
      return await this.take(action);
    } catch (error) {
      const { code, message } = problemOf(error);
      this.moving = { ...this.moving, sees: false };
      this.ports.publish.lookFailed(code);
      this.ports.log('error', 'lookFailed', { code, action }, message);
      this.voice.showState('blind');
      return { kind: 'lookFailed' };
    }
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
    await this.watches.followPolicies(policies.files);
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
    await this.watches.followUnit(policy.unit);
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
    this.voice.noticeRestart(before, look);
    await this.memory.keep(hash, driftedNames(look.drift), this.position);
    publish.seen(host.clock.now());
    publish.drift(look.drift, this.memory.since, look.observed.sysctlsVia);
    publish.refusals(look.problems.map(({ code }) => code));
    // What changed between the look and the watch told nobody.
    if (await this.watches.followFiles(watchTargets(look.observed, policy.sysctls.length > 0))) this.notice();
    logLook(log, before, look);
    if (look.wish === 'nothing') this.slot.halted = false;
    this.voice.showState(
      stateOf(look, {
        broken: this.broken,
        fighting: this.fought.length > 0,
        halted: this.slot.halted,
        waiting: this.slot.isOpen,
      }),
    );
    const { policyValid } = this;
    await this.voice.report({ look, policy, policyHash: hash, policyValid, since: this.memory.since });
    const wish = this.broken && look.wish === 'change' ? 'refused' : look.wish;
    return { kind: 'nodeSeen', wish, subjects: look.subjects, needsSlot: look.plan?.plan.restart === true };
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
    this.finish('recovered', ended);
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
    const files = this.watches.changes();
    if (files.policy) this.tell({ kind: 'policyNoticed' });
    const another =
      known !== undefined && observation.process(known.pid)?.argv.join('\0') !== known.argv.join('\0');
    if (this.moving.sees) publish.seen(host.clock.now());
    this.watches.show();
    this.slot.showWait(this.position.slot === 'held');
    await this.lookAtPods();
    return { kind: 'sysctlsSeen', changed: verdicts || files.node || another };
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
    this.voice.showState('waitingForSlot');
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
    this.voice.showState('applying');
    this.ports.log('info', 'applying', { plan: plan?.hash.slice(0, 12), subjects }, 'carrying the plan out');
    const ended = await applyOnce(this.ports, policyWithout(this.policy.policy, this.fought));
    this.finish('applied', ended);
    if (plan?.plan.restart === true) await this.slot.settle(ended);
    this.ports.publish.refusals(ended.problems.map(({ code }) => code));
    if (ended.result === 'committed' || ended.result === 'nothing') {
      return { kind: 'applied', result: ended.result, subjects };
    }
    this.voice.showState(ended.result === 'rolledBack' ? 'drifted' : ended.result);
    return { kind: 'applied', result: ended.result };
  }

  private finish(event: 'applied' | 'recovered', ended: Ended): void {
    this.broken = ended.result === 'broken';
    this.voice.logEnd(event, ended);
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
