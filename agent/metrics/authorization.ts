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
  /** Told of the first review without an answer, and again after one that had an answer. */
  readonly failed: (error: unknown) => void;
  /** How long a yes holds; a token that was taken back still reads for as long. */
  readonly holdMs?: number;
  /** How long a no holds: a right that was just given should not be waited for. */
  readonly holdRefusalMs?: number;
}

// Only scrapers come here. More tokens than this at a time is somebody guessing.
const mostTokens = 64;

interface Kept {
  readonly untilMs: number;
  readonly verdict: ScrapeVerdict;
}

/** Remembers answers, so that two requests to the API server serve a minute of scrapes; asks once for all who wait. */
export function reviewedAuthorizer(options: AuthorizerOptions): ScrapeAuthorizer {
  const { review, monotonic, failed, holdMs = 60_000, holdRefusalMs = 10_000 } = options;
  const known = new Map<string, Kept>();
  const asked = new Map<string, Promise<ScrapeVerdict>>();
  let answered = true;

  const ask = async (token: string): Promise<ScrapeVerdict> => {
    try {
      const verdict = await review(token);
      answered = true;
      makeRoom(known, monotonic());
      known.set(token, { verdict, untilMs: monotonic() + (verdict === 'allowed' ? holdMs : holdRefusalMs) });
      return verdict;
    } catch (error) {
      // Silence is no answer to remember, and telling it at every scrape would fill the log.
      if (answered) failed(error);
      answered = false;
      return 'unknown';
    }
  };

  return {
    async authorize(token) {
      if (token === undefined) return 'unauthenticated';
      const kept = known.get(token);
      if (kept !== undefined && monotonic() < kept.untilMs) return kept.verdict;
      const waiting = asked.get(token) ?? ask(token);
      asked.set(token, waiting);
      try {
        return await waiting;
      } finally {
        asked.delete(token);
      }
    },
  };
}

/** Who guesses tokens must not make the agent forget the ones that are good. */
function makeRoom(known: Map<string, Kept>, nowMs: number): void {
  if (known.size < mostTokens) return;
  for (const [token, { verdict, untilMs }] of known) {
    if (verdict !== 'allowed' || untilMs <= nowMs) known.delete(token);
  }
  if (known.size >= mostTokens) known.clear();
}
