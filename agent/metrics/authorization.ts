/** `unknown`: whoever could tell did not answer; nobody is let in then. */
export type ScrapeVerdict = 'allowed' | 'unauthenticated' | 'forbidden' | 'unknown';

/** Says whether the bearer of a token may read the metrics. Never throws. */
export interface ScrapeAuthorizer {
  authorize(token: string | undefined): Promise<ScrapeVerdict>;
}

/** Asks an API server: a TokenReview, then a SubjectAccessReview for `get` on the non-resource URL /metrics. */
export type ReviewScrape = (token: string) => Promise<Exclude<ScrapeVerdict, 'unknown'>>;

export interface AuthorizerOptions {
  /** @throws whatever went wrong on the way to an answer. */
  readonly review: ReviewScrape;
  /** Milliseconds that never go back. */
  readonly monotonic: () => number;
  /** How long an answer holds; a token that was taken back still reads for as long. */
  readonly holdMs?: number;
}

// Only scrapers come here. More tokens than this at a time is somebody guessing.
const mostTokens = 64;

/** Remembers answers, so that two requests to the API server serve a minute of scrapes; asks once for all who wait. */
export function reviewedAuthorizer({
  review,
  monotonic,
  holdMs = 60_000,
}: AuthorizerOptions): ScrapeAuthorizer {
  const known = new Map<string, { readonly untilMs: number; readonly verdict: Promise<ScrapeVerdict> }>();
  return {
    async authorize(token) {
      if (token === undefined) return 'unauthenticated';
      const nowMs = monotonic();
      const kept = known.get(token);
      if (kept !== undefined && nowMs < kept.untilMs) return kept.verdict;
      const verdict = review(token).catch((): ScrapeVerdict => 'unknown');
      if (known.size >= mostTokens) known.clear();
      known.set(token, { untilMs: nowMs + holdMs, verdict });
      const said = await verdict;
      // Silence is no answer to remember.
      if (said === 'unknown') known.delete(token);
      return said;
    },
  };
}
