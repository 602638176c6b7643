import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import t, { type Test as TapTest } from 'tap';
import { type ApiClient, type ApiClientOptions, connectApi } from '../../agent/cluster/api-client.ts';
import { backoffDelay, defaultBackoff, parseRetryAfter } from '../../agent/cluster/backoff.ts';
import { type ApiTarget, inClusterPlace, inClusterTarget } from '../../agent/cluster/credentials.ts';
import { type Follower, follow } from '../../agent/cluster/follow.ts';
import { metaOf } from '../../agent/cluster/objects.ts';
import { slotGate } from '../../agent/cluster/slot-gate.ts';
import { leaseSlots } from '../../agent/cluster/slots.ts';
import { namespace, until } from './support/api.ts';
import { hastyClock } from './support/clock.ts';
import { StandInApiServer } from './support/stand-in.ts';

const nodes = '/api/v1/nodes';
// Thirty hasty seconds are less than a busy machine needs for a few answers.
const patient = { patienceMs: 6_000_000 };
const nodeOf = (name: string): object => ({ apiVersion: 'v1', kind: 'Node', metadata: { name } });

async function served(
  t: TapTest,
  over: Partial<ApiClientOptions> = {},
): Promise<{ server: StandInApiServer; client: ApiClient }> {
  const server = await StandInApiServer.start();
  const target: ApiTarget = {
    server: server.url,
    credentials: async () => Promise.resolve({ token: 'token-1' }),
  };
  const client = connectApi({ target, clock: hastyClock(), random: Math.random, ...over });
  t.teardown(async () => {
    client.close();
    await server.close();
  });
  return { server, client };
}

void t.test('waits double up to a limit, are cut at random, and never undercut Retry-After', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.nat(100_000),
      (failures, roll, after) => {
        const delay = backoffDelay(failures, roll, after);
        t.ok(delay >= after);
        t.ok(delay >= Math.min(defaultBackoff.firstMs * 2 ** (failures - 1), defaultBackoff.mostMs) / 2);
        t.ok(delay <= Math.max(defaultBackoff.mostMs, after * 1.25));
      },
    ),
  );
  t.end();
});

void t.test(
  'Retry-After is seconds or a date; nonsense is none, and nothing is longer than ten minutes',
  (t) => {
    const now = Date.UTC(2026, 0, 1);
    t.equal(parseRetryAfter('7', now), 7_000);
    t.equal(parseRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000);
    t.equal(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now), 0);
    t.equal(parseRetryAfter('soon', now), undefined);
    t.equal(parseRetryAfter(undefined, now), undefined);
    t.equal(parseRetryAfter('999999', now), 600_000);
    t.end();
  },
);

void t.test('what is busy, broken or cut is asked again', async (t) => {
  const { server, client } = await served(t);
  server.fail(
    { kind: 'status', status: 429, retryAfter: '1' },
    { kind: 'status', status: 503 },
    { kind: 'cutBefore' },
    { kind: 'status', status: 500 },
  );
  t.match(await client.ask({ method: 'POST', path: nodes, body: nodeOf('a') }, patient), { kind: 'done' });
  t.equal(client.requests(), 5);
});

void t.test('an answer that stalls half-way is given up at the deadline and asked for again', async (t) => {
  const { server, client } = await served(t, { deadlineMs: 200 });
  server.fail({ kind: 'stall' });
  t.match(await client.ask({ method: 'GET', path: nodes }, patient), { kind: 'done' });
  t.equal(client.requests(), 2);
});

void t.test('a conflict is an answer, and says whether an earlier try may have caused it', async (t) => {
  const { server, client } = await served(t);
  const ask = async (): Promise<unknown> =>
    client.ask({ method: 'POST', path: nodes, body: nodeOf('b') }, patient);
  server.fail({ kind: 'cutAfter' });
  t.match(await ask(), { kind: 'refused', status: 409, reason: 'AlreadyExists', unsure: true });
  t.match(await ask(), { kind: 'refused', status: 409, unsure: false });
});

void t.test('a server that stays away is an error with its address, after the patience', async (t) => {
  const { server, client } = await served(t);
  server.setDown(true);
  await t.rejects(client.ask({ method: 'GET', path: nodes }), {
    code: 'API_UNREACHABLE',
    message: /^GET \/api\/v1\/nodes at 127\.0\.0\.1:\d+: /,
  });
});

void t.test('an aborted request ends with the reason', async (t) => {
  const { server, client } = await served(t);
  server.setDown(true);
  const stop = new AbortController();
  const asking = client.ask({ method: 'GET', path: nodes }, { signal: stop.signal });
  stop.abort(new Error('no longer needed'));
  await t.rejects(asking, { message: 'no longer needed' });
});

void t.test(
  'a token that was replaced on disk is read again when the server refuses the old one',
  async (t) => {
    const directory = await mkdtemp(path.join(tmpdir(), 'ksa-token-'));
    t.teardown(async () => rm(directory, { recursive: true }));
    await writeFile(path.join(directory, 'token'), 'token-1\n');
    await writeFile(path.join(directory, 'ca.crt'), '');
    const place = { host: '127.0.0.1', port: '1', directory };
    let now = 0;
    const account = inClusterTarget(place, () => now);
    const { server } = await served(t);
    const client = connectApi({
      target: { ...account, server: server.url },
      clock: hastyClock(),
      random: Math.random,
    });
    t.teardown(() => {
      client.close();
    });
    t.equal((await client.ask({ method: 'GET', path: nodes })).kind, 'done');
    await writeFile(path.join(directory, 'token'), 'token-2');
    server.tokens = ['token-2'];
    t.equal((await client.ask({ method: 'GET', path: nodes })).kind, 'done');
    t.match(
      server.asked.map(({ status }) => status),
      [200, 401, 200],
    );
    await writeFile(path.join(directory, 'token'), 'token-3');
    server.tokens = ['token-3'];
    now += 61_000;
    t.equal(
      (await client.ask({ method: 'GET', path: nodes })).kind,
      'done',
      'and once a minute without being told',
    );
    t.equal(server.asked.length, 4);
    server.tokens = [];
    t.match(await client.ask({ method: 'GET', path: nodes }), { kind: 'refused', status: 401 });
  },
);

void t.test('a pod finds its API server by the environment, on IPv6 too', async (t) => {
  t.equal(inClusterPlace({}), undefined);
  t.equal(inClusterPlace({ KUBERNETES_SERVICE_HOST: '' }), undefined);
  const place = inClusterPlace({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' });
  t.match(place, { host: 'fd00::1', port: '6443' });
  if (place !== undefined) t.equal(inClusterTarget(place, () => 0).server.href, 'https://[fd00::1]:6443/');
});

/** Follows the nodes of a server. */
function followed(
  t: TapTest,
  client: ApiClient,
): { follower: Follower<string>; names: () => string; troubles: (string | undefined)[] } {
  const troubles: (string | undefined)[] = [];
  const follower = follow({
    client,
    clock: hastyClock(),
    random: Math.random,
    collection: { path: nodes, consistent: true },
    decode: (object) => metaOf(object)?.name,
    changed: () => undefined,
    troubled: (reason) => troubles.push(reason),
  });
  t.teardown(() => {
    follower.close();
  });
  return { follower, troubles, names: () => [...(follower.current()?.objects.values() ?? [])].sort().join() };
}

const lists = (server: StandInApiServer): number =>
  server.asked.filter(
    ({ method, path: asked, status }) => method === 'GET' && asked === nodes && status === 200,
  ).length;

void t.test('a collection is listed once; everything after comes through one watch', async (t) => {
  const { server, client } = await served(t);
  const put = (name: string): void =>
    void server.store.put('nodes', `/${name}`, { ...nodeOf(name), spec: {} });
  put('a');
  const { names } = followed(t, client);
  await until(() => names() === 'a' && server.watches === 1);
  put('b');
  await until(() => names() === 'a,b');
  server.store.delete('nodes', '/a');
  await until(() => names() === 'b');
  t.equal(client.requests(), 2);
});

void t.test(
  'a watch that ended or was cut goes on where it was: nothing is lost, nothing is listed again',
  async (t) => {
    const { server, client } = await served(t);
    const put = (name: string): void =>
      void server.store.put('nodes', `/${name}`, nodeOf(name) as Record<string, unknown>);
    const { names, troubles } = followed(t, client);
    await until(() => server.watches === 1);
    for (const [name, stop] of [
      ['a', () => server.endWatches()],
      ['b', () => server.cutConnections()],
    ] as const) {
      await until(() => server.watches === 1);
      stop();
      put(name);
      await until(() => names().includes(name));
    }
    t.equal(lists(server), 1);
    t.equal(troubles.at(-1), undefined);
  },
);

void t.test(
  'a version that was forgotten is followed by a new list, whether it is said at once or in the watch',
  async (t) => {
    const { server, client } = await served(t);
    const { names } = followed(t, client);
    await until(() => server.watches === 1);
    server.setDown(true);
    server.store.put('nodes', '/a', nodeOf('a') as Record<string, unknown>);
    server.store.compact();
    server.setDown(false);
    await until(() => names() === 'a' && server.watches === 1);
    t.equal(lists(server), 2);
    server.expireWatches();
    await until(() => lists(server) === 3 && server.watches === 1);
    t.equal(names(), 'a');
  },
);

void t.test('a bookmark carries a quiet watch over a compaction', async (t) => {
  const { server, client } = await served(t);
  const { follower } = followed(t, client);
  await until(() => server.watches === 1);
  const before = follower.current();
  server.store.compact();
  server.bookmark();
  await until(() => follower.current()?.version !== before?.version);
  t.equal(follower.current()?.objects, before?.objects, 'it is no change');
  server.endWatches();
  await until(() => server.asked.filter(({ status }) => status === 'watch').length === 2);
  t.equal(lists(server), 1);
});

void t.test('a long collection is listed in pages', async (t) => {
  const { server, client } = await served(t);
  for (let at = 0; at < 1_200; at += 1)
    server.store.put('nodes', `/n${at}`, nodeOf(`n${at}`) as Record<string, unknown>);
  const { follower } = followed(t, client);
  await until(() => follower.current()?.objects.size === 1_200);
  t.equal(lists(server), 3);
});

void t.test(
  'a watch that may not be opened is tried with growing waits, and its trouble is told',
  async (t) => {
    const { server, client } = await served(t);
    server.tokens = [];
    const { follower, troubles } = followed(t, client);
    await until(() => troubles.length > 0);
    t.match(follower.trouble(), /401/);
    server.tokens = ['token-1'];
    await until(() => follower.trouble() === undefined);
    t.ok(follower.current());
  },
);

void t.test('a slot whose taking was cut after it was done is taken once, and given back', async (t) => {
  const { server, client } = await served(t);
  const clock = hastyClock();
  const slots = leaseSlots({
    client,
    clock,
    random: Math.random,
    namespace,
    node: { name: 'n', uid: async () => Promise.resolve('u') },
  });
  t.equal((await slots.own()).length, 0);
  server.fail({ kind: 'cutAfter' });
  const why = { unit: 'kubelet.service', planHash: 'x' };
  t.match(await slots.take({ policy: 'web', index: 0 }, why, new AbortController().signal), {
    holder: 'n',
    index: 0,
  });
  const gate = slotGate({ slots, clock, random: Math.random, node: 'n', warn: () => undefined });
  t.teardown(() => {
    gate.close();
  });
  server.fail({ kind: 'cutAfter' });
  await gate.settle('committed');
  await until(() => server.store.list('leases').length === 0);
  t.pass('given back');
});
