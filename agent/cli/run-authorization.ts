import type { LoopLog } from '../engine/loop-ports.ts';
import { type Problem, problemOf } from '../errors.ts';
import { reviewedAuthorizer, type ScrapeAuthorizer } from '../metrics/authorization.ts';
import type { CliContext } from './context.ts';
import type { RunArguments } from './run-options.ts';

/** Why the metrics cannot be kept from strangers; nothing where nobody asked for it. */
export function authorizationProblems(options: RunArguments, inCluster: boolean): readonly Problem[] {
  if (options.metricsAuthorization !== true) return [];
  const problems: Problem[] = [];
  if (options.tlsCertFile === undefined && !loopback.test(options.listen.host ?? '')) {
    problems.push({
      code: 'USAGE',
      message: '--metrics-authorization without TLS would have scrapers send their tokens in the clear',
      next: 'give --tls-cert-file and --tls-key-file, or listen on the loopback address behind a proxy',
    });
  }
  if (!inCluster) {
    problems.push({
      code: 'USAGE',
      message: '--metrics-authorization needs an API server, and this is no pod with a service account token',
      next: 'run in a pod with automountServiceAccountToken, or leave the option out',
    });
  }
  return problems;
}

/** Undefined: everybody who reaches the port may read. */
export async function scrapeAuthorizer(
  context: CliContext,
  { metricsAuthorization }: RunArguments,
  log: LoopLog,
): Promise<ScrapeAuthorizer | undefined> {
  if (metricsAuthorization !== true) return undefined;
  return reviewedAuthorizer({
    review: await context.scrapeReviews(),
    monotonic: () => context.clock.monotonic(),
    failed: (error) => {
      const { code, message, next } = problemOf(error);
      log('warn', 'scrapeNotReviewed', { code, next }, message);
    },
  });
}

// Words for the loopback address that --listen takes.
const loopback = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/;
