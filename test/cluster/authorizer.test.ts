import { readFile } from 'node:fs/promises';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { scrapeReviews } from '../../agent/cluster/authorizer.ts';
import type { ApiTarget } from '../../agent/cluster/credentials.ts';
import { field, text } from '../../agent/cluster/objects.ts';
import { problemOf } from '../../agent/errors.ts';
import { reviewedAuthorizer } from '../../agent/metrics/authorization.ts';
import { type Admin, namespace, startApi, type TestApi } from './support/api.ts';
import { hastyClock } from './support/clock.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const component = '../../manifests/components/metrics-authorization';
const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;

/** Tokens of a scraper with the component's right, of somebody without, and of the agent itself. */
interface Tokens {
  readonly scraper: string;
  readonly stranger: string;
  readonly agent: string;
}

async function documents(file: string): Promise<readonly object[]> {
  const body = await readFile(new URL(`${component}/${file}`, import.meta.url), 'utf8');
  return parseAllDocuments(body).map((document) => document.toJS() as object);
}

async function tokenOf(admin: Admin, name: string): Promise<string> {
  const review = await admin.create(`${accounts}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {},
  });
  return text(field(review, 'status'), 'token') ?? '';
}

/** The component's objects on a real server; a table of who may what on the stand-in. */
async function people({ admin, standIn }: TestApi): Promise<Tokens> {
  if (standIn !== undefined) {
    const user = (name: string) => ({
      username: `system:serviceaccount:${namespace}:${name}`,
      groups: ['system:serviceaccounts'],
    });
    standIn.tokens = ['token-1', 'agent'];
    standIn.reviewed = {
      users: { scraper: user('kubelet-sysctl-agent-scraper'), stranger: user('stranger') },
      paths: { [user('kubelet-sysctl-agent-scraper').username]: ['/metrics'] },
    };
    return { scraper: 'scraper', stranger: 'stranger', agent: 'agent' };
  }
  const names = ['kubelet-sysctl-agent', 'kubelet-sysctl-agent-scraper', 'stranger'] as const;
  for (const name of names)
    await admin.create(accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } });
  const [agent, scraper, stranger] = await Promise.all(names.map(async (name) => tokenOf(admin, name)));
  return { agent: agent ?? '', scraper: scraper ?? '', stranger: stranger ?? '' };
}

async function install({ admin, standIn }: TestApi): Promise<void> {
  if (standIn !== undefined) return;
  const objects = [...(await documents('rbac.yaml')), ...(await documents('scraper.yaml'))];
  for (const object of objects) {
    const kind = text(object, 'kind');
    if (kind === 'ClusterRole') await admin.create(`${rbac}/clusterroles`, object);
    if (kind === 'ClusterRoleBinding') await admin.create(`${rbac}/clusterrolebindings`, object);
  }
}

function targetWith(api: TestApi, token: string): ApiTarget {
  return {
    ...api.target,
    credentials: async (fresh) => ({ ...(await api.target.credentials(fresh)), token }),
  };
}

void t.test('the API server says who may read the metrics; when it is away nobody new may', async (t) => {
  const api = await startApi();
  t.teardown(async () => api.close());
  const tokens = await people(api);
  const failures: string[] = [];
  let nowMs = 0;
  const authorizer = reviewedAuthorizer({
    review: scrapeReviews({
      agentVersion: '1',
      env: {},
      clock: hastyClock(1),
      random: Math.random,
      target: targetWith(api, tokens.agent),
    }),
    monotonic: () => nowMs,
    failed: (error) => failures.push(problemOf(error).code),
  });

  if (api.real !== undefined) {
    t.equal(await authorizer.authorize(tokens.scraper), 'unknown', 'the agent has no right to ask yet');
    t.strictSame(failures.splice(0), ['API_REFUSED']);
  }
  await install(api);
  // RBAC is told to the authorizer by a watch.
  while ((await authorizer.authorize(tokens.scraper)) !== 'allowed') {
    nowMs += 10_000;
    await hastyClock(1).sleep(50);
  }
  t.equal(await authorizer.authorize(tokens.stranger), 'forbidden');
  t.equal(await authorizer.authorize('no-token-of-anybody'), 'unauthenticated');
  t.equal(await authorizer.authorize(undefined), 'unauthenticated');

  failures.length = 0;
  await api.outage(async () => {
    t.equal(await authorizer.authorize(tokens.scraper), 'allowed', 'remembered');
    nowMs += 60_000;
    t.equal(await authorizer.authorize(tokens.scraper), 'unknown');
    t.equal(await authorizer.authorize('no-token-of-anybody'), 'unknown');
    t.strictSame(failures, ['API_UNREACHABLE']);
  });
  t.equal(await authorizer.authorize(tokens.scraper), 'allowed', 'as soon as the API server is back');
});

void t.test('outside of a cluster there is nobody to ask', async (t) => {
  t.throws(() => scrapeReviews({ agentVersion: '1', env: {}, clock: hastyClock(), random: Math.random }), {
    code: 'API_UNREACHABLE',
  });
});
