/** How waits grow while something does not answer. Milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

export const defaultBackoff: Backoff = { firstMs: 500, mostMs: 30_000 };

/**
 * The wait after a number of failures in a row (from 1): doubled each time, cut at random down to half so that a fleet
 * does not come back as one. The server's Retry-After is a lower bound, and its end is spread as well.
 */
export function backoffDelay(
  failures: number,
  roll: number,
  retryAfterMs = 0,
  { firstMs, mostMs }: Backoff = defaultBackoff,
): number {
  const wholeMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), mostMs);
  const ownMs = wholeMs * (0.5 + roll / 2);
  return retryAfterMs === 0 ? ownMs : Math.max(ownMs, retryAfterMs * (1 + roll / 4));
}

/** Retry-After in milliseconds: seconds, or an HTTP date, cut to ten minutes; undefined where it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d{1,9}$/.test(value.trim()) ? Number(value) : (Date.parse(value) - nowMs) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds * 1000, 0), longestMs) : undefined;
}

// A server that asks for more is mistaken, and a node that obeyed would look dead.
const longestMs = 600_000;
