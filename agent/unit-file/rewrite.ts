/** One decoded unit of a text and the stretch [start, end) of the raw text that spells it. */
export interface Spelled {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Replace the raw stretch [start, end) by a spelling of `text` that fits behind or before `beside`. */
export interface Splice<T extends Spelled> {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly beside: T;
}

/**
 * The smallest raw change that turns the spelled text into `wanted`: what both have in common at the start and at
 * the end keeps its bytes. Undefined when they have nothing in common.
 */
export function smallestSplice<T extends Spelled>(
  spelled: readonly T[],
  wanted: string,
): Splice<T> | undefined {
  let head = 0;
  let headLength = 0;
  for (const { text } of spelled) {
    if (!wanted.startsWith(text, headLength)) break;
    headLength += text.length;
    head++;
  }
  let tail = spelled.length;
  let tailLength = 0;
  for (const { text } of spelled.slice(head).toReversed()) {
    const end = wanted.length - tailLength;
    if (end - text.length < headLength || wanted.slice(end - text.length, end) !== text) break;
    tailLength += text.length;
    tail--;
  }
  const before = spelled[head - 1];
  const after = spelled[tail];
  const beside = before ?? after;
  if (beside === undefined) return undefined;
  return {
    start: before?.end ?? spelled[0]?.start ?? beside.start,
    end: tail === head ? (before?.end ?? beside.start) : (spelled[tail - 1]?.end ?? beside.start),
    text: wanted.slice(headLength, wanted.length - tailLength),
    beside,
  };
}
