import { normaliseName } from '../sysctl/names.ts';

/** How one allowlist became another; every entry of both lists stands in exactly one of the four. */
export interface AllowlistDifference {
  readonly added: readonly string[];
  readonly kept: readonly string[];
  /** Gone, and no longer covered: pods that use them would be killed. */
  readonly removed: readonly string[];
  /** Gone from the text, but another entry still covers all of them: no narrowing. */
  readonly subsumed: readonly string[];
}

/** The one spelling of an entry, in which entries are compared and written (see normaliseName). */
export function normaliseEntry(entry: string): string {
  return normaliseName(entry);
}

/**
 * Whether an entry allows everything that another entry or a sysctl's name stands for, as the kubelet compares them:
 * exact, or by the part before the `*`. Both spellings are taken.
 */
export function covers(entry: string, other: string): boolean {
  const wide = normaliseEntry(entry);
  const narrow = normaliseEntry(other);
  return wide.endsWith('*') ? narrow.startsWith(wide.slice(0, -1)) : wide === narrow;
}

/** Whether any entry of a list covers all of an entry or name. To ask more than once, see coverage. */
export function isCovered(list: readonly string[], other: string): boolean {
  return list.some((entry) => covers(entry, other));
}

/** isCovered for one list and many questions: a policy may have ten thousand entries. */
export function coverage(list: readonly string[]): (other: string) => boolean {
  const entries = list.map(normaliseEntry);
  const names = new Set(entries.filter((entry) => !entry.endsWith('*')));
  const prefixes = new Set(entries.filter((entry) => entry.endsWith('*')).map((entry) => entry.slice(0, -1)));
  return (other) => {
    const narrow = normaliseEntry(other);
    if (names.has(narrow)) return true;
    if (prefixes.size === 0) return false;
    for (let length = 0; length <= narrow.length; length++) {
      if (prefixes.has(narrow.slice(0, length))) return true;
    }
    return false;
  };
}

/**
 * All lists as one: normalised, without duplicates, in order of first appearance. An entry that another one covers
 * stays: it is what remains when the wider one is taken away.
 */
export function unite(...lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat().map(normaliseEntry))];
}

/** Whether both lists have the same entries, in whatever order and spelling. */
export function sameEntries(a: readonly string[], b: readonly string[]): boolean {
  const [left, right] = [new Set(unite(a)), new Set(unite(b))];
  return left.size === right.size && [...left].every((entry) => right.has(entry));
}

/** Compares two allowlists. `safe` are the kubelet's safe sysctls, which stay allowed whatever is removed. */
export function difference(
  before: readonly string[],
  after: readonly string[],
  safe: readonly string[] = [],
): AllowlistDifference {
  const old = unite(before);
  const wanted = unite(after);
  const [oldSet, wantedSet] = [new Set(old), new Set(wanted)];
  const gone = old.filter((entry) => !wantedSet.has(entry));
  const covered = coverage([...wanted, ...safe]);
  return {
    added: wanted.filter((entry) => !oldSet.has(entry)),
    kept: wanted.filter((entry) => oldSet.has(entry)),
    removed: gone.filter((entry) => !covered(entry)),
    subsumed: gone.filter(covered),
  };
}

/**
 * The entries of `before` that `after` does not cover whole, normalised. Empty: no pod can lose anything. A pattern
 * counts as narrowed even where several narrower ones happen to cover all names that exist.
 */
export function narrowed(
  before: readonly string[],
  after: readonly string[],
  safe: readonly string[] = [],
): string[] {
  return [...difference(before, after, safe).removed];
}

/** Entries that add nothing, because each is one of the kubelet's safe sysctls: a hint, not a fault. */
export function redundantWith(entries: readonly string[], safe: readonly string[]): readonly string[] {
  return unite(entries).filter((entry) => isCovered(safe, entry));
}
