import { problemOf, unreachable } from '../errors.ts';
import { driftedNames } from '../plan/drift.ts';
import type { SlotEnd } from '../rollout/slot-rules.ts';
import { foughtOver } from '../transaction/loop-heals.ts';
import {
  type LoopAction,
  type LoopEvent,
  type LoopPosition,
  type LoopSettings,
  startPosition,
  type Subject,
} from '../transaction/loop-position.ts';
import { nextAction } from '../transaction/loop-rules.ts';
import { isRetried } from './latch.ts';
import { applyOnce, slotEndOf } from './loop-apply.ts';
import { LoopInbox } from './loop-inbox.ts';
import { LoopJournal } from './loop-journal.ts';
import { isWell, type Look, lookAtNode, waitsForPods } from './loop-look.ts';
import { DriftMemory } from './loop-memory.ts';
import { LoopPods } from './loop-pods.ts';
import { LoopPolicy } from './loop-policy.ts';
import type { LoopPorts } from './loop-ports.ts';
import { endSeen, SlotKeeper } from './loop-slot.ts';
import type { SysctlEyes } from './loop-sysctls.ts';
import { LoopVoice } from './loop-voice.ts';
import { LoopWatches } from './loop-watches.ts';
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
  private readonly inbox: LoopInbox;
  private readonly policy: LoopPolicy;
  private readonly watches: LoopWatches;
  private readonly pods: LoopPods;
  private readonly slot: SlotKeeper;
  private readonly journal: LoopJournal;
  private readonly voice: LoopVoice;
  private readonly memory: DriftMemory;
  private position: LoopPosition;
  private look: Look | undefined;
  private failed: Subject | undefined;
  private untidy = true;
  private moving: LoopPulse;

  constructor(ports: LoopPorts, settings: LoopSettings) {
    this.ports = ports;
    this.settings = settings;
    this.inbox = new LoopInbox(ports.host.clock);
    const tell = (event: LoopEvent): void => {
      this.inbox.tell(event);
    };
    const policyNoticed = (): void => {
      tell({ kind: 'policyNoticed' });
    };
    this.policy = new LoopPolicy(ports);
    this.memory = new DriftMemory(ports);
    this.slot = new SlotKeeper(ports, tell, () => {
      void this.showStanding();
    });
    this.journal = new LoopJournal(ports, settings.dryRun);
    this.pods = new LoopPods(ports);
    this.voice = new LoopVoice(ports);
    this.position = startPosition(this.monotonic);
    this.moving = { action: 'wait', sinceMs: this.monotonic, sees: false };
    this.watches = new LoopWatches(ports, {
      node: () => {
        this.notice();
      },
      policy: policyNoticed,
    });
    ports.policies.onChange(policyNoticed);
    ports.retry.onChange(() => {
      this.notice();
    });
    ports.pods.onChange(() => {
      this.pods.noticed();
      if (this.look !== undefined && waitsForPods(this.look)) this.notice();
    });
  }

  /** Something on the node may have changed. */
  notice(): void {
    this.inbox.tell({ kind: 'noticed' });
  }

  /** The policy's sysctls, for the scrape; undefined before the first policy. */
  get eyes(): SysctlEyes | undefined {
    return this.policy.inForce?.eyes;
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
      this.policy.close();
      await this.watches.close();
    }
  }

  private async wait(untilMs: number, signal: AbortSignal): Promise<LoopEvent> {
    if (this.untidy && this.inbox.isEmpty && untilMs - this.monotonic > quietMs) {
      this.untidy = false;
      this.ports.tidy();
    }
    return this.inbox.next(untilMs, signal);
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
        await this.slot.settle(this.endSeen() === 'converged' ? 'converged' : 'refused');
        return { kind: 'timePassed' };
      case 'apply':
        return this.apply();
      default:
        return unreachable(action);
    }
  }

  /** At once: the next look may be a while off, and people want to know whether a rollout stands still. */
  private async showStanding(): Promise<void> {
    this.showWaiting();
    await this.voice.reportState();
  }

  private showWaiting(): void {
    this.voice.showState(this.slot.halted ? 'halted' : 'waitingForSlot');
  }

  private async loadPolicy(): Promise<LoopEvent> {
    // Watched first: what changes while they are read is read again.
    await this.watches.followPolicies(this.ports.policies.files);
    const loaded = await this.policy.load();
    if (loaded === 'same') return { kind: 'policyLoaded', changed: false };
    this.slot.halted = false;
    const kept = loaded === 'first' ? this.memory.of(this.policy.inForce?.hash ?? '') : undefined;
    if (kept === undefined) return { kind: 'policyLoaded', changed: true };
    this.position = startPosition(this.monotonic, kept);
    return { kind: 'policyLoaded', changed: false };
  }

  private async lookAtNode(): Promise<LoopEvent> {
    const { host, observation, configz } = this.ports;
    const { inForce } = this.policy;
    if (inForce === undefined) return nothingSeen;
    await this.watches.followUnit(inForce.policy.unit);
    await this.finishInterrupted();
    const before = this.look;
    const latch = await host.state.readLatch();
    const look = await lookAtNode(observation, {
      policy: inForce.policy,
      except: this.fought,
      latch: isRetried(latch, this.ports.retry) ? undefined : latch,
      failed: this.failed,
      configz,
      nowMs: host.clock.now(),
    });
    this.look = look;
    this.moving = { ...this.moving, sees: true };
    await inForce.eyes.look();
    await this.memory.keep(inForce.hash, driftedNames(look.drift), this.position);
    // What changed between the look and the watch told nobody.
    const targets = watchTargets(look.observed, inForce.policy.sysctls.length > 0);
    if (await this.watches.followFiles(targets)) this.notice();
    if (look.wish === 'nothing') this.slot.halted = false;
    if (!this.settings.dryRun) await this.slot.recall(this.endSeen());
    const { plan, subjects } = look;
    const needsSlot = plan?.plan.restart === true;
    await this.voice.tellOf(before, look, {
      policy: inForce.policy,
      policyHash: inForce.hash,
      policyValid: this.policy.isValid,
      since: this.memory.since,
      standing: {
        broken: this.journal.isBroken,
        fighting: this.fought.length > 0,
        halted: this.slot.halted,
        waiting: this.slot.isOpen || (needsSlot && !this.settings.dryRun),
      },
    });
    const wish = this.journal.isBroken && look.wish === 'change' ? 'refused' : look.wish;
    return { kind: 'nodeSeen', wish, subjects, needsSlot, waitsForPods: waitsForPods(look) };
  }

  private async finishInterrupted(): Promise<void> {
    const ended = await this.journal.finish(this.look?.observed.healthz ?? usualHealthz);
    if (ended === undefined) return;
    this.voice.logEnd('recovered', ended);
    if (ended.result !== 'refused' && ended.result !== 'nothing') await this.slot.settle(slotEndOf(ended));
  }

  private async lookAtSysctls(): Promise<LoopEvent> {
    const { host, observation, publish } = this.ports;
    if (this.eyes === undefined) {
      this.inbox.tell({ kind: 'policyNoticed' });
      return { kind: 'sysctlsSeen', changed: false };
    }
    const known = this.look?.observed.process;
    const verdicts = await this.eyes.look();
    const files = this.watches.changes();
    if (files.policy) this.inbox.tell({ kind: 'policyNoticed' });
    const another =
      known !== undefined && observation.process(known.pid)?.argv.join('\0') !== known.argv.join('\0');
    if (this.moving.sees) publish.seen(host.clock.now());
    this.watches.show();
    this.slot.show();
    await this.pods.look();
    return { kind: 'sysctlsSeen', changed: verdicts || files.node || another };
  }

  private async askForSlot(): Promise<LoopEvent> {
    const plan = this.look?.plan;
    const policy = this.policy.inForce?.policy;
    if (plan === undefined || policy === undefined) return Promise.resolve({ kind: 'slotRefused' });
    const { unit, rollout, names: policies } = policy;
    const { maxUnavailable, maxFailed } = rollout;
    this.showWaiting();
    this.slot.ask({ unit, planHash: plan.hash, maxUnavailable, maxFailed, policies });
    return Promise.resolve({ kind: 'timePassed' });
  }

  private async apply(): Promise<LoopEvent> {
    const plan = this.look?.plan;
    if (plan === undefined) return { kind: 'lookFailed' };
    const { subject } = plan;
    this.voice.showState('applying');
    await this.voice.reportState();
    this.ports.log('info', 'applying', { plan: plan.hash.slice(0, 12), subject }, 'carrying the plan out');
    const ended = await applyOnce(this.ports, plan.policy);
    this.failed = ended.result === 'committed' || ended.result === 'nothing' ? undefined : subject;
    this.journal.ended(ended);
    this.voice.logEnd('applied', ended);
    if (plan.plan.restart) await this.slot.settle(slotEndOf(ended));
    this.ports.publish.refusals(ended.problems.map(({ code }) => code));
    if (ended.result === 'committed' || ended.result === 'nothing')
      return { kind: 'applied', result: ended.result, subjects: [subject] };
    this.voice.showState(ended.result === 'rolledBack' ? 'drifted' : ended.result);
    return { kind: 'applied', result: ended.result };
  }

  /** What the last look proves about a slot; nothing while a change is open. */
  private endSeen(): SlotEnd | undefined {
    const { look, journal } = this;
    if (look === undefined || journal.isOpen) return undefined;
    return endSeen({ wish: look.wish, isWell: isWell(look), isBroken: journal.isBroken });
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
const nothingSeen: LoopEvent = {
  kind: 'nodeSeen',
  wish: 'nothing',
  subjects: [],
  needsSlot: false,
  waitsForPods: false,
};
