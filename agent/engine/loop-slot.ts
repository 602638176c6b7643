import { problemOf } from '../errors.ts';
import type { LoopEvent } from '../transaction/loop-rules.ts';
import { type Ended, slotOutcome } from './loop-apply.ts';
import type { Grant, SlotRequest } from './gate.ts';
import type { LoopPorts } from './loop-ports.ts';

interface OpenSlot {
  readonly abort: AbortController;
  readonly askedAtMs: number;
}

/** This node's slot: asked for in the background, so that the node is watched while it waits. */
export class SlotKeeper {
  private readonly ports: Pick<LoopPorts, 'gate' | 'host' | 'log' | 'publish'>;
  private readonly tell: (event: LoopEvent) => void;
  private open: OpenSlot | undefined;
  /** Who halted the rollout, as long as that is the last word. */
  halted = false;

  constructor(ports: SlotKeeper['ports'], tell: (event: LoopEvent) => void) {
    this.ports = ports;
    this.tell = tell;
  }

  /** Asked for and not given back. */
  get isOpen(): boolean {
    return this.open !== undefined;
  }

  ask(request: SlotRequest): void {
    const { gate, host, log } = this.ports;
    const mine = { abort: new AbortController(), askedAtMs: host.clock.monotonic() };
    this.open = mine;
    const plan = request.planHash.slice(0, 12);
    log(
      'info',
      'slotAsked',
      { plan, policies: request.policies },
      'waiting for the right to put this node at risk',
    );
    // Not waited for: the node is watched meanwhile.
    void this.await(mine, gate.acquire(request, mine.abort.signal));
  }

  /** Shows how long the wait has lasted so far. */
  showWait(held: boolean): void {
    if (this.open === undefined || held) return;
    this.ports.publish.slot(false, this.ports.host.clock.monotonic() - this.open.askedAtMs);
  }

  /** Gives the slot back, or says that the node failed; also for a slot that an earlier agent held. Never throws. */
  async settle(ended: Pick<Ended, 'result'>): Promise<void> {
    this.open?.abort.abort();
    this.open = undefined;
    // The slot of a broken node stays taken.
    this.ports.publish.slot(ended.result === 'broken', 0);
    try {
      await this.ports.gate.settle(slotOutcome(ended));
    } catch (error) {
      const { code, message } = problemOf(error);
      this.ports.log('warn', 'slotNotSettled', { code }, message);
    }
  }

  close(): void {
    this.open?.abort.abort();
  }

  private async await(mine: OpenSlot, pending: Promise<Grant>): Promise<void> {
    const { host, log, publish } = this.ports;
    try {
      const grant = await pending;
      if (this.open !== mine) return;
      this.halted = grant.kind === 'halted';
      if (grant.kind === 'granted') {
        publish.slot(true, host.clock.monotonic() - mine.askedAtMs);
        log('info', 'slotGranted', { slot: grant.slot ?? null }, 'this node may be at risk now');
        this.tell({ kind: 'slotGranted' });
        return;
      }
      log('warn', 'halted', { by: grant.by }, grant.reason);
    } catch (error) {
      if (this.open !== mine) return;
      const { code, message } = problemOf(error);
      log('warn', 'slotFailed', { code }, message);
    }
    this.open = undefined;
    this.tell({ kind: 'slotRefused' });
  }
}
