import { unreachable } from '../errors.ts';

/** One node at risk for one policy. A slot that nobody holds does not exist: taking it means to make it. */
export interface HeldSlot {
  readonly policy: string;
  /** From 0; a node may take only indices below the limit that it knows. */
  readonly index: number;
  /** The Node's name; an agent that comes back under it is the same holder. */
  readonly holder: string;
  /** Why the holder failed; undefined while its change is under way. */
  readonly failure: string | undefined;
}

/** What one node asks for: a slot of every policy that its change serves. */
export interface SlotDemand {
  readonly node: string;
  /** Sorted and without duplicates: all nodes take in one order, so that none waits for another in a circle. */
  readonly policies: readonly string[];
  readonly maxUnavailable: number;
  readonly maxFailed: number;
}

/** What a node does next about its slots. */
export type SlotMove =
  /** It holds one of every policy. */
  | { readonly kind: 'proceed'; readonly slots: readonly HeldSlot[] }
  /** Any of these indices may be made its own. */
  | { readonly kind: 'take'; readonly policy: string; readonly indices: readonly number[] }
  | { readonly kind: 'wait'; readonly policy: string; readonly holders: readonly string[] }
  /** The fleet's rollout has stopped. What was taken for this change goes back, so that other policies go on. */
  | {
      readonly kind: 'halt';
      readonly policy: string;
      readonly failed: readonly HeldSlot[];
      readonly giveBack: readonly HeldSlot[];
    };

/**
 * The one rule of the rollout, from all slots that are held. Whatever a node has seen or missed of other nodes: those at
 * risk for one policy are never more than the greatest limit by which one of them took its slot, because indices are
 * unique and below it. Where the limit was lowered, holders above it count until they are done.
 */
export function nextMove(held: readonly HeldSlot[], demand: SlotDemand): SlotMove {
  const own: HeldSlot[] = [];
  let pending: { readonly policy: string; readonly others: readonly HeldSlot[] } | undefined;
  let stopped: { readonly policy: string; readonly failed: readonly HeldSlot[] } | undefined;
  for (const policy of demand.policies) {
    const pool = held.filter((slot) => slot.policy === policy);
    const mine = pool.filter(({ holder }) => holder === demand.node);
    own.push(...mine);
    // Its own slot is its own risk, already counted: a node that failed may always try a new plan under it.
    if (mine.length > 0) continue;
    const failed = pool.filter(({ failure }) => failure !== undefined);
    if (isHalted(failed.length, demand)) stopped ??= { policy, failed };
    pending ??= { policy, others: pool };
  }
  if (stopped !== undefined) {
    return { kind: 'halt', ...stopped, giveBack: own.filter(({ failure }) => failure === undefined) };
  }
  if (pending === undefined) return { kind: 'proceed', slots: own };
  const { policy, others } = pending;
  const indices = freeIndices(others, demand.maxUnavailable);
  return indices.length > 0
    ? { kind: 'take', policy, indices }
    : { kind: 'wait', policy, holders: others.map(({ holder }) => holder) };
}

/** How a node's change ended, as far as slots go; `converged` found nothing to do any more. */
export type SlotEnd = 'committed' | 'converged' | 'refused' | 'rolledBack' | 'broken';

/** What becomes of the slots that a node holds. Success frees, failure keeps; nothing else, time least of all, frees. */
export function afterEnd(end: SlotEnd, slot: HeldSlot): 'free' | 'keep' | 'markFailed' {
  switch (end) {
    case 'committed':
    case 'converged':
      return 'free';
    case 'refused':
      // Nothing was touched: the node is what it was, which may be one that failed before.
      return slot.failure === undefined ? 'free' : 'keep';
    case 'rolledBack':
    case 'broken':
      return 'markFailed';
    default:
      return unreachable(end);
  }
}

/** More failed nodes than the policy bears, or so many that no slot is left to wait for. */
function isHalted(failed: number, { maxFailed, maxUnavailable }: SlotDemand): boolean {
  return failed > maxFailed || failed >= maxUnavailable;
}

/** Counts as if every lower index were held: two nodes that take at once cannot exceed the limit together. */
function freeIndices(pool: readonly HeldSlot[], limit: number): readonly number[] {
  const taken = new Set(pool.map(({ index }) => index));
  const free: number[] = [];
  let above = [...taken].filter((index) => index >= limit).length;
  for (let index = limit - 1; index >= 0; index -= 1) {
    if (taken.has(index)) above += 1;
    else if (index + above < limit) free.unshift(index);
  }
  return free;
}
