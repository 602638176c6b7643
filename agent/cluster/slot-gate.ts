import { drawTurns, nextTurn, noTurns, type Turns } from '../rollout/free-slots.ts';
import { afterEnd, nextMove, type SlotDemand, type SlotEnd } from '../rollout/slot-rules.ts';
import { haltReason } from '../rollout/halt-reason.ts';
import { fraction, vigilDelay } from '../rollout/turns.ts';
import type { ApiClock } from './api-client.ts';
import { backoffDelay } from './backoff.ts';
import type { Follower } from './follow.ts';
import type { GateGrant, GateRequest, SlotView } from './gate-shapes.ts';
import { firstOf, unlessAborted } from './races.ts';
import type { SlotLease } from './slot-lease.ts';
import type { Slots } from './slots.ts';

export type { GateGrant, GateRequest, SlotView } from './gate-shapes.ts';

export interface SlotGate {
  acquire(request: GateRequest, signal: AbortSignal, waiting?: () => void): Promise<GateGrant>;
  settle(end: SlotEnd): Promise<void>;
  holds(): boolean;
  view(): SlotView;
  /** Waits until the API server has heard every end, however long that takes; returns at once when the gate is closed. */
  settled(): Promise<void>;
  close(): void;
}

export interface SlotGateOptions {
  readonly slots: Slots;
  readonly clock: ApiClock;
  readonly random: () => number;
  readonly node: string;
  /** Awaited between the last slot and the grant: what must be true before the node is at risk. */
  readonly beforeGrant?: (signal: AbortSignal) => Promise<void>;
  /** Called when the view changed, or a halt may have ended. */
  readonly changed?: () => void;
  readonly warn: (message: string) => void;
}

/** A plan that serves no named policy: from flags alone, or what an old policy left. */
const nameless = 'unnamed';

/**
 * The gate of a node in a cluster: carries out what the rules of agent/rollout say. While it waits it holds one watch;
 * idle it holds nothing. What could not be told to the API server is told again until it was.
 */
export function slotGate(options: SlotGateOptions): SlotGate {
  const { slots, clock, random, node, warn } = options;
  const closed = new AbortController();
  let following: { readonly key: string; readonly follower: Follower<SlotLease> } | undefined;
  let wake: () => void = () => undefined;
  let view: SlotView = { kind: 'none' };
  /** This node's slots; undefined where they are not known, such as after a start. */
  let own: readonly SlotLease[] | undefined;
  /** A request to take a slot was not answered: it may be ours all the same. */
  let unsure = false;
  /** Leases that we made, by name: the watch may not have heard of them yet, and a second slot must not be taken. */
  let made = new Map<string, SlotLease>();
  /** Leases that we deleted, until the watch is a new one: it may not have heard of it yet. */
  let freed = new Set<string>();
  let settling: Promise<void> = Promise.resolve();

  const show = (next: SlotView): void => {
    if (JSON.stringify(next) === JSON.stringify(view)) return;
    view = next;
    options.changed?.();
  };
  const stopFollowing = (): void => {
    following?.follower.close();
    following = undefined;
    freed = new Set();
    made = new Map();
  };
  const gotHold = (slot: SlotLease): void => {
    made.set(slot.name, slot);
    own = own === undefined ? undefined : [...own.filter(({ name }) => name !== slot.name), slot];
  };
  const free = async (slot: SlotLease): Promise<void> => {
    freed.add(slot.uid);
    made.delete(slot.name);
    await slots.free(slot);
  };
  const followed = (policies: readonly string[]): Follower<SlotLease> => {
    const key = policies.join(',');
    if (following?.key !== key) {
      stopFollowing();
      const changed = (): void => {
        wake();
        if (view.kind === 'halted') options.changed?.();
      };
      const follower = slots.follow(policies, changed, (reason) => {
        if (reason !== undefined) warn(`the slots cannot be watched: ${reason}`);
      });
      following = { key, follower };
    }
    return following.follower;
  };

  const wait = async (request: GateRequest, stop: AbortSignal, waiting: () => void): Promise<GateGrant> => {
    await unlessAborted(settling, stop);
    const policies = request.policies.length === 0 ? [nameless] : [...new Set(request.policies)].sort();
    const { maxUnavailable, maxFailed } = request;
    const demand: SlotDemand = { node, policies, maxUnavailable, maxFailed };
    const follower = followed(policies);
    let turns: Turns = noTurns;
    let looks = 0;
    let lookedAt = clock.monotonic();
    let failures = 0;
    let seen: ReadonlyMap<string, SlotLease> | undefined;
    for (;;) {
      stop.throwIfAborted();
      // Before the look, so that what changes during it wakes us.
      const change = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const current = follower.current();
      if (current === undefined) {
        await unlessAborted(change, stop);
        continue;
      }
      const now = clock.monotonic();
      if (current.objects !== seen) {
        seen = current.objects;
        looks = 0;
        lookedAt = now;
      }
      const held = withMade(current.objects, made).filter(({ uid }) => !freed.has(uid));
      const move = nextMove(held, demand);
      const leaseOf = (slot: { policy: string; index: number }): SlotLease | undefined =>
        held.find(({ policy, index }) => policy === slot.policy && index === slot.index);
      switch (move.kind) {
        case 'proceed': {
          const mine = move.slots.flatMap((slot) => leaseOf(slot) ?? []);
          // The slot of an earlier Node of this name would be deleted with that one.
          for (const slot of mine) await slots.adopt(slot, stop);
          mine.forEach(gotHold);
          await options.beforeGrant?.(stop);
          stopFollowing();
          const names = mine.map(({ name }) => name);
          show({ kind: 'held', slots: names });
          return { kind: 'granted', slot: names.join(' ') };
        }
        case 'halt': {
          for (const slot of move.giveBack.flatMap((each) => leaseOf(each) ?? [])) await free(slot);
          const by = move.failed.map(({ holder }) => holder).sort();
          show({ kind: 'halted', policy: move.policy, by });
          return { kind: 'halted', by: by.join(', '), reason: haltReason(move, demand) };
        }
        case 'take': {
          show({ kind: 'waiting', policy: move.policy });
          waiting();
          turns = drawTurns(turns, move, node, { turn: current.version, ms: now });
          const turn = nextTurn(turns);
          if (turn === undefined) break;
          if (turn.atMs > now) {
            await firstOf(change, clock, turn.atMs - now, stop);
            break;
          }
          const slot = { policy: move.policy, index: turn.index };
          try {
            // Not given up half-way: whether the slot is ours must be known before anybody settles it.
            const outcome = await slots.take(slot, request, closed.signal);
            failures = 0;
            if (outcome !== 'lost') {
              gotHold(outcome);
              break;
            }
          } catch (error) {
            unsure = true;
            stop.throwIfAborted();
            failures += 1;
            warn(`slot ${slot.policy}/${slot.index} could not be taken: ${messageOf(error)}`);
          }
          // The watch will show whose it is. Where that is unknown, no other slot may be taken either.
          turns =
            failures === 0
              ? { policy: turns.policy, at: new Map([...turns.at, [turn.index, now + lostPauseMs]]) }
              : postponed(turns, now + backoffDelay(failures, random()));
          break;
        }
        case 'wait': {
          show({ kind: 'waiting', policy: move.policy });
          waiting();
          turns = noTurns;
          const dueMs = lookedAt + vigilDelay(node, looks) - now;
          if (dueMs > 0) {
            await firstOf(change, clock, dueMs, stop);
            break;
          }
          looks += 1;
          lookedAt = now;
          await lookForHolder(
            held.filter(({ policy }) => policy === move.policy),
            looks,
            request,
            stop,
          );
          break;
        }
      }
    }
  };

  /** One holder a look: whoever of the waiting nodes finds it gone takes its slot. */
  const lookForHolder = async (
    pool: readonly SlotLease[],
    look: number,
    request: GateRequest,
    stop: AbortSignal,
  ): Promise<void> => {
    const slot = pool[Math.floor(fraction(node, 'holder', String(look)) * pool.length)];
    if (slot === undefined) return;
    try {
      if (await slots.holderExists(slot, stop)) return;
      warn(`node ${slot.holder} no longer exists; its slot ${slot.name} is taken over`);
      const outcome = await slots.takeOver(slot, request, closed.signal);
      if (outcome !== 'lost') gotHold(outcome);
    } catch (error) {
      unsure = true;
      stop.throwIfAborted();
      warn(`whether node ${slot.holder} exists is unknown: ${messageOf(error)}`);
    }
  };

  const settleOnce = async (end: SlotEnd): Promise<void> => {
    if (own === undefined || unsure) own = await slots.own();
    unsure = false;
    const kept: SlotLease[] = [];
    for (const slot of own) {
      const next = afterEnd(end, slot);
      if (next === 'free') await free(slot);
      else kept.push(next === 'markFailed' ? { ...slot, failure: end } : slot);
      if (next === 'markFailed') await slots.markFailed(slot, end);
    }
    own = kept;
    show(kept.length === 0 ? { kind: 'none' } : { kind: 'held', slots: kept.map(({ name }) => name) });
  };

  const settleForSure = async (end: SlotEnd): Promise<void> => {
    for (let failures = 1; ; failures += 1) {
      try {
        await settleOnce(end);
        return;
      } catch (error) {
        warn(`the slot could not be settled (${end}): ${messageOf(error)}`);
        await clock.sleep(backoffDelay(failures, random()), closed.signal);
      }
    }
  };

  let asking: { readonly abort: AbortController; readonly ended: Promise<void> } | undefined;

  return {
    acquire: async (request, signal, waiting = () => undefined) => {
      asking?.abort.abort(new Error('a newer request took its place'));
      await asking?.ended;
      const abort = new AbortController();
      const answer = wait(request, AbortSignal.any([signal, closed.signal, abort.signal]), waiting);
      const ended = answer.then(
        () => undefined,
        () => undefined,
      );
      asking = { abort, ended };
      return answer;
    },
    settle: async (end) => {
      asking?.abort.abort(new Error('the slot was given up'));
      await asking?.ended;
      settling = settling.then(async () => settleForSure(end)).catch(() => undefined);
      // While the API server is away the loop goes on; the next request waits until this one is told.
      await firstOf(settling, clock, settlePatienceMs, closed.signal).catch(() => undefined);
    },
    holds: () => view.kind === 'held' || made.size > 0 || (own?.length ?? 0) > 0,
    view: () => view,
    settled: async () => settling,
    close: () => {
      closed.abort(new Error('the gate was closed'));
      stopFollowing();
    },
  };
}

const settlePatienceMs = 5_000;
const lostPauseMs = 2_000;

function withMade(
  seen: ReadonlyMap<string, SlotLease>,
  made: ReadonlyMap<string, SlotLease>,
): readonly SlotLease[] {
  return [...[...seen.values()].filter(({ name }) => !made.has(name)), ...made.values()];
}

function postponed({ policy, at }: Turns, untilMs: number): Turns {
  return { policy, at: new Map([...at].map(([index, atMs]) => [index, Math.max(atMs, untilMs)])) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
