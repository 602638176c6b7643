import type { Clock } from '../host/clock.ts';
import type { SlotEnd } from '../rollout/slot-rules.ts';

/** One node's wish to be at risk for a while. */
export interface SlotRequest {
  /** The kubelet's unit, for messages. */
  readonly unit: string;
  readonly planHash: string;
  readonly maxUnavailable: number;
  readonly maxFailed: number;
  /** Names of the policies that the plan serves; sorted. */
  readonly policies: readonly string[];
}

/** `halted`: the fleet's rollout has stopped; nothing may be touched until a person or a new policy lets it go on. */
export type Grant =
  | { readonly kind: 'granted'; readonly slot: string | undefined }
  | { readonly kind: 'halted'; readonly by: string; readonly reason: string };

/**
 * What stands between a plan and its application: no more nodes at risk than the policies allow. At most one request
 * is open at a time; every grant is settled, except where the agent dies, and then the next agent settles it.
 */
export interface RolloutGate {
  /**
   * Waits for the right to put this node at risk. `waiting` is called each time it turns out that others are first and
   * the rollout goes on. @throws the signal's reason when aborted.
   */
  acquire(request: SlotRequest, signal: AbortSignal, waiting?: () => void): Promise<Grant>;
  /** Gives the right back, or says that the node failed. May be called without a grant: then it does nothing. */
  settle(end: SlotEnd): Promise<void>;
  /** Whether this node has a slot, as far as is known: one that an earlier agent left counts once it was found. */
  holds(): boolean;
}

export interface LocalGateOptions {
  readonly clock: Clock;
  /** The longest random delay before this node's change, in milliseconds. */
  readonly splayMs: number;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  /** Told once for each grant, before the delay. */
  readonly warn: (message: string, delayMs: number) => void;
}

/** A gate without a cluster: no coordination at all, only a start that is spread over time, and a loud warning. */
export function localGate({ clock, splayMs, random, warn }: LocalGateOptions): RolloutGate {
  let isGranted = false;
  return {
    async acquire(_request, signal) {
      const delayMs = Math.floor(random() * splayMs);
      warn('no coordination with other nodes: maxUnavailable and maxFailed are not enforced', delayMs);
      await clock.sleep(delayMs, signal);
      isGranted = true;
      return { kind: 'granted', slot: undefined };
    },
    async settle() {
      isGranted = false;
      return Promise.resolve();
    },
    holds: () => isGranted,
  };
}
