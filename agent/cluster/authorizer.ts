import { AgentError } from '../errors.ts';
import type { ReviewScrape } from '../metrics/authorization.ts';
import { type ApiClient, type ApiClock, connectApi } from './api-client.ts';
import { type ApiTarget, inCluster } from './credentials.ts';
import { field, list, text } from './objects.ts';

export interface ReviewOptions {
  readonly agentVersion: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: ApiClock;
  readonly random: () => number;
  /** Instead of the pod's service account. */
  readonly target?: ApiTarget;
}

/**
 * Asks the API server who bears a token and whether they may `get` the non-resource URL /metrics, as kube-rbac-proxy and
 * controller-runtime do. A connection of its own, so that it waits for nobody. Connects nothing yet.
 * @throws AgentError API_UNREACHABLE outside of a cluster.
 */
export function scrapeReviews(options: ReviewOptions): ReviewScrape {
  const { clock, random, agentVersion } = options;
  const target = options.target ?? inCluster(options.env, clock)?.target;
  if (target === undefined)
    throw new AgentError('API_UNREACHABLE', 'no API server: KUBERNETES_SERVICE_HOST is not set');
  const client = connectApi({
    target,
    clock,
    random,
    userAgent: `kubelet-sysctl-agent/${agentVersion}`,
    deadlineMs: answerMs,
  });
  return async (token) => {
    const user = await reviewToken(client, token);
    if (user === undefined) return 'unauthenticated';
    return (await mayScrape(client, user)) ? 'allowed' : 'forbidden';
  };
}

// Two requests must fit into a scrape's time limit (10 s unless told), also where each is tried twice.
const answerMs = 2_000;

const tokenReviews = '/apis/authentication.k8s.io/v1/tokenreviews';
const accessReviews = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

/** Who bears the token, as the API server says it; undefined for a token that it does not take. */
async function reviewToken(client: ApiClient, token: string): Promise<object | undefined> {
  const status = await create(client, tokenReviews, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token },
  });
  if (field(status, 'authenticated') !== true) return undefined;
  const user = field(status, 'user');
  const name = text(user, 'username');
  if (name === undefined || name === '') return undefined;
  const extra = field(user, 'extra');
  return {
    user: name,
    uid: text(user, 'uid') ?? '',
    groups: list(field(user, 'groups')),
    ...(typeof extra === 'object' && extra !== null ? { extra } : {}),
  };
}

async function mayScrape(client: ApiClient, user: object): Promise<boolean> {
  const status = await create(client, accessReviews, {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { ...user, nonResourceAttributes: { path: '/metrics', verb: 'get' } },
  });
  return field(status, 'allowed') === true && field(status, 'denied') !== true;
}

/** The status of a review. @throws AgentError API_UNREACHABLE, API_REFUSED: neither is an answer about the scraper. */
async function create(client: ApiClient, path: string, body: object): Promise<unknown> {
  const answer = await client.ask({ method: 'POST', path, body }, { patienceMs: answerMs });
  if (answer.kind === 'done') return field(answer.object, 'status');
  throw new AgentError('API_REFUSED', `POST ${path}: ${answer.status} ${answer.message}`, {
    next: 'let the agent create tokenreviews and subjectaccessreviews: manifests/components/metrics-authorization',
  });
}
