import { problemOf, unreachable } from '../errors.ts';
import type { SlotEnd } from '../rollout/slot-rules.ts';
import type { LoopEvent, Wish } from '../transaction/loop-position.ts';
import type { Grant, SlotRequest } from './gate.ts';
import type { LoopPorts } from './loop-ports.ts';

/** What a look found, as far as slots go. */
export interface SeenForSlots {
  readonly wish: Wish;
  /** The kubelet runs, and answers where it is asked to. */
  readonly isWell: boolean;
  /** A person must look at the node. */
  readonly isBroken: boolean;
}

/**
 * What a look proves about the change that a slot was taken for, whichever agent took it; undefined: nothing. Only a
 * kubelet that is well and as the policy wants it ends a failure.
 */
export function endSeen({ wish, isWell, isBroken }: SeenForSlots): SlotEnd | undefined {
  if (isBroken) return 'broken';
  switch (wish) {
    case 'latched':
      return 'rolledBack';
    case 'nothing':
      return isWell ? 'converged' : undefined;
    case 'refused':
      return 'refused';
    case 'change':
      return undefined;
    default:
      return unreachable(wish);
  }
}

export interface SlotKeeperPorts extends Pick<LoopPorts, 'gate' | 'log'> {
  readonly host: Pick<LoopPorts['host'], 'clock'>;
  readonly publish: Pick<LoopPorts['publish'], 'slot'>;
}

/** This node's slot: asked for in the background, so that the node is watched while it waits. */
export class SlotKeeper {
  private readonly ports: SlotKeeperPorts;
  private readonly tell: (event: LoopEvent) => void;
  private readonly standing: () => void;
  private open: { readonly abort: AbortController; readonly askedAtMs: number } | undefined;
  /** The last end that the gate was told; an earlier agent may have left a slot that nobody told of. */
  private told: SlotEnd | undefined;
  private waitedMs: number | undefined;
  /** The rollout is halted, as long as that is the last word. */
  halted = false;

  /** `standing` is called when the rollout was halted, and when it goes on. */
  constructor(ports: SlotKeeperPorts, tell: (event: LoopEvent) => void, standing: () => void) {
    this.ports = ports;
    this.tell = tell;
    this.standing = standing;
  }

  /** Asked for and not given back. */
  get isOpen(): boolean {
    return this.open !== undefined;
  }

  ask(request: SlotRequest): void {
    const { gate, host, log } = this.ports;
    const mine = { abort: new AbortController(), askedAtMs: host.clock.monotonic() };
    this.open = mine;
    this.waitedMs = undefined;
    this.told = undefined;
    const plan = request.planHash.slice(0, 12);
    log(
      'info',
      'slotAsked',
      { plan, policies: request.policies },
      'waiting for the right to put this node at risk',
    );
    // Not waited for: the node is watched meanwhile.
    const waiting = (): void => {
      if (this.open === mine) this.stand(false);
    };
    void this.await(mine, gate.acquire(request, mine.abort.signal, waiting));
  }

  /** Shows whether a slot is held, and how long the wait for one has lasted so far, or lasted. */
  show(): void {
    const { gate, host, publish } = this.ports;
    const soFarMs = this.open === undefined ? 0 : host.clock.monotonic() - this.open.askedAtMs;
    publish.slot(gate.holds(), this.waitedMs ?? soFarMs);
  }

  /** Settles what an earlier try, or an earlier agent, may have left. Costs no request while nothing is held. */
  async recall(end: SlotEnd | undefined): Promise<void> {
    if (this.isOpen || end === undefined || end === this.told) return;
    await this.settle(end);
  }

  /** Says how the change ended, or that there is none any more; the rules decide what becomes of the slot. Never throws. */
  async settle(end: SlotEnd): Promise<void> {
    this.open?.abort.abort();
    this.open = undefined;
    this.waitedMs = undefined;
    this.told = end;
    try {
      await this.ports.gate.settle(end);
    } catch (error) {
      const { code, message } = problemOf(error);
      this.ports.log('warn', 'slotNotSettled', { code }, message);
    }
    this.show();
  }

  close(): void {
    this.open?.abort.abort();
  }

  private stand(halted: boolean): void {
    if (halted === this.halted) return;
    this.halted = halted;
    this.standing();
  }

  private async await(mine: NonNullable<SlotKeeper['open']>, pending: Promise<Grant>): Promise<void> {
    const { host, log } = this.ports;
    try {
      const grant = await pending;
      if (this.open !== mine) return;
      this.stand(grant.kind === 'halted');
      if (grant.kind === 'granted') {
        this.waitedMs = host.clock.monotonic() - mine.askedAtMs;
        this.show();
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
