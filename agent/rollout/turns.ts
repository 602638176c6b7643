/** How nodes that wait for one slot get out of each other's way. Times in milliseconds. */
export interface TurnTiming {
  /** The longest that a node waits before it takes a slot that it saw become free. */
  readonly spreadMs: number;
  /** How many waiting nodes the spread is made for. */
  readonly waiting: number;
}

export const defaultTurnTiming: TurnTiming = { spreadMs: 3_000, waiting: 10_000 };

/**
 * How long this node waits before it takes this slot this time. Most nodes draw a long delay and few a short one, so
 * that about one or two of any number up to `waiting` try before all others have seen the slot taken (exponential
 * timers, as in Nonnenmacher and Biersack, "Scalable Feedback for Large Groups"). One node alone waits the longest.
 */
export function turnDelay(
  node: string,
  slot: string,
  turn: string,
  timing: TurnTiming = defaultTurnTiming,
): number {
  const lambda = Math.log(timing.waiting) + 1;
  const draw = fraction(node, slot, turn);
  return (timing.spreadMs / lambda) * Math.log1p(draw * Math.expm1(lambda));
}

/** A number from 0 up to, not including, 1 that only the words decide; unrelated for words that differ in one letter. */
export function fraction(...words: readonly string[]): number {
  // FNV-1a, then the finaliser of MurmurHash3: FNV alone hardly moves its high bits for the last letters.
  let hash = 0x811c9dc5;
  for (const word of words) {
    for (let at = 0; at < word.length; at += 1) hash = Math.imul(hash ^ word.charCodeAt(at), 0x01000193);
    hash = Math.imul(hash ^ 0x1ff, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/**
 * When a node that waits looks whether a holder's Node still exists, counted from the last change of the slots: first
 * after half a minute to a minute and a half, then each time twice as late, at most once an hour. Kubernetes' garbage
 * collector frees the slots of deleted Nodes; this is for clusters where it does not run, or was told to orphan.
 */
export function vigilDelay(node: string, looks: number): number {
  const firstMs = 30_000 + 60_000 * fraction(node, 'vigil', String(looks));
  return Math.min(firstMs * 2 ** Math.min(looks, 12), 3_600_000);
}
