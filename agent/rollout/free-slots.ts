import type { SlotMove } from './slot-rules.ts';
import { defaultTurnTiming, turnDelay, type TurnTiming } from './turns.ts';

/** When a node may take each of a policy's free slots: monotonic milliseconds by index. */
export interface Turns {
  readonly policy: string;
  readonly at: ReadonlyMap<number, number>;
}

export const noTurns: Turns = { policy: '', at: new Map() };

/**
 * Draws a node's turn for every slot that became free, and forgets those that are free no longer. A slot that stays
 * free keeps its turn: seeing something else change must not push it back. `turn` is any word that differs each time,
 * such as the resource version at which the slot was seen free.
 */
export function drawTurns(
  before: Turns,
  move: Extract<SlotMove, { kind: 'take' }>,
  node: string,
  now: { readonly turn: string; readonly ms: number },
  timing: TurnTiming = defaultTurnTiming,
): Turns {
  const { policy, indices } = move;
  const known = before.policy === policy ? before.at : noTurns.at;
  const at = indices.map((index): [number, number] => [
    index,
    known.get(index) ?? now.ms + turnDelay(node, `${policy}/${index}`, now.turn, timing),
  ]);
  return { policy, at: new Map(at) };
}

/** The slot whose turn comes first; undefined when none is free. */
export function nextTurn(turns: Turns): { readonly index: number; readonly atMs: number } | undefined {
  let first: { readonly index: number; readonly atMs: number } | undefined;
  for (const [index, atMs] of turns.at) {
    if (first === undefined || atMs < first.atMs) first = { index, atMs };
  }
  return first;
}
