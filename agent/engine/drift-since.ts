import type { DriftName } from '../plan/drift.ts';

/** Since when each drift lasts, by `kind/name`; milliseconds since the epoch. */
export type DriftSince = Readonly<Record<string, number>>;

/** Keeps the beginnings of what still drifts, begins what is new, and forgets what is over. */
export function driftSince(before: DriftSince, now: readonly DriftName[], nowMs: number): DriftSince {
  return Object.fromEntries(
    now.map(({ kind, name }): [string, number] => {
      const key = `${kind}/${name}`;
      // A clock that was set back must not put the beginning into the future.
      return [key, Math.min(before[key] ?? nowMs, nowMs)];
    }),
  );
}

/** Whether two say the same. */
export function sameSince(one: DriftSince, other: DriftSince): boolean {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
