import t, { type Test as TapTest } from 'tap';
import { type ClusterConnection, connectCluster } from '../../agent/cluster/connect.ts';
import { field, list, text } from '../../agent/cluster/objects.ts';
import type { RolloutGate } from '../../agent/engine/gate.ts';
import type { PolicySource } from '../../agent/engine/loop-ports.ts';
import type { ClusterReporter, PodSource } from '../../agent/engine/reporter.ts';
import { namespace, startApi, type TestApi, until } from './support/api.ts';
import { hastyClock } from './support/clock.ts';
import { driftWith, factsOf } from './support/facts.ts';

const policiesPath = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlpolicies';
const statusesPath = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlstatuses';

let api: TestApi;
t.before(async () => {
  api = await startApi();
});
t.after(async () => api.close());

let nodes = 0;

interface Agent {
  readonly name: string;
  readonly connection: ClusterConnection;
  readonly log: string[];
}

async function agent(
  t: TapTest,
  over: { node?: object; name?: string; cleanEveryMs?: number } = {},
): Promise<Agent> {
  nodes += 1;
  const name = over.name ?? `node-${nodes}.connect`;
  if (over.name === undefined) {
    await api.admin.create('/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
      ...over.node,
    });
  }
  const log: string[] = [];
  const connection = await connectCluster({
    nodeName: name,
    agentVersion: '1.2.3',
    env: {},
    clock: hastyClock(),
    random: Math.random,
    log: (level, event, _fields, message) => log.push(`${level} ${event} ${message}`),
    target: api.target,
    namespace,
    ...(over.cleanEveryMs === undefined ? {} : { cleanEveryMs: over.cleanEveryMs }),
  });
  if (connection === undefined) throw new Error('not connected');
  t.teardown(() => {
    connection.close();
  });
  await until(() => connection.nodeLabels() !== undefined);
  return { name, connection, log };
}

const policyOf = (name: string, spec: object): object => ({
  apiVersion: 'sysctl-agent.dev/v1alpha1',
  kind: 'NodeSysctlPolicy',
  metadata: { name },
  spec,
});

const selected = (name: string): object => ({ nodeSelector: { matchLabels: { pool: name } } });

async function labelled(
  t: TapTest,
  pool: string,
  over: { taints?: readonly object[]; cleanEveryMs?: number } = {},
): Promise<Agent> {
  nodes += 1;
  const name = `node-${nodes}.${pool}`;
  await api.admin.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { pool } },
    spec: over.taints === undefined ? {} : { taints: over.taints },
  });
  return agent(t, { name, ...(over.cleanEveryMs === undefined ? {} : { cleanEveryMs: over.cleanEveryMs }) });
}

/** Facts that were found under the policies of now. */
function facts(
  connection: ClusterConnection,
  over: Parameters<typeof factsOf>[0],
): ReturnType<typeof factsOf> {
  return factsOf({ policyHash: connection.policies.hash(), ...over });
}

async function nodeOf(name: string): Promise<unknown> {
  return api.admin.get(`/api/v1/nodes/${name}`);
}

async function labelOf(name: string, policy: string): Promise<string | undefined> {
  return text(field(field(await nodeOf(name), 'metadata'), 'labels'), `sysctl-agent.dev/${policy}`);
}

async function statusOf(name: string): Promise<unknown> {
  const all = await api.admin.get(statusesPath);
  return field(
    list(field(all, 'items')).find((each) => text(field(each, 'metadata'), 'name') === name),
    'status',
  );
}

void t.test('the connection fits the ports of the engine', async (t) => {
  const { connection } = await agent(t);
  const ports: { gate: RolloutGate; reporter: ClusterReporter; pods: PodSource; policies: PolicySource } =
    connection;
  t.ok(ports);
});

void t.test('outside of a cluster there is no connection, and the log says so loudly', async (t) => {
  const log: string[] = [];
  const connection = await connectCluster({
    nodeName: 'n',
    agentVersion: '1',
    env: {},
    clock: hastyClock(),
    random: Math.random,
    log: (level, event) => log.push(`${level} ${event}`),
  });
  t.equal(connection, undefined);
  t.strictSame(log, ['warn noCluster']);
});

void t.test(
  'policies of the cluster are those that select the node, by its labels as they are now',
  async (t) => {
    const { name, connection } = await labelled(t, 'p1');
    const changes: number[] = [];
    connection.policies.onChange(() => changes.push(changes.length));
    await api.admin.create(
      policiesPath,
      policyOf('p1-a', { ...selected('p1'), kubelet: { allowedUnsafeSysctls: ['net.core.somaxconn'] } }),
    );
    await api.admin.create(
      policiesPath,
      policyOf('p1-b', { ...selected('p1-late'), rollout: { maxUnavailable: 7 } }),
    );
    await until(async () => {
      const loaded = await connection.policies.load();
      return loaded.ok && loaded.policy.names.join() === 'p1-a';
    });
    const told = changes.length;
    await api.admin.merge(`/api/v1/nodes/${name}`, { metadata: { labels: { pool: 'p1-late' } } });
    await until(async () => {
      const loaded = await connection.policies.load();
      return loaded.ok && loaded.policy.names.join() === 'p1-b' && loaded.policy.rollout.maxUnavailable === 7;
    });
    t.ok(changes.length > told);
  },
);

void t.test('policies that contradict each other are refused with both names', async (t) => {
  const { connection } = await labelled(t, 'p2');
  await api.admin.create(
    policiesPath,
    policyOf('p2-a', { ...selected('p2'), rollout: { maxUnavailable: 2 } }),
  );
  await api.admin.create(
    policiesPath,
    policyOf('p2-b', { ...selected('p2'), rollout: { maxUnavailable: 3 } }),
  );
  await until(async () => {
    const loaded = await connection.policies.load();
    return !loaded.ok && loaded.problems.some(({ message }) => message.includes('p2-a and p2-b'));
  });
  t.pass('both are named');
});

void t.test(
  'a proven node is labelled, reported and loses the start-up taint, and nothing but that',
  async (t) => {
    const other = { key: 'team', value: 'web', effect: 'NoSchedule' };
    const { name, connection } = await labelled(t, 'p3', {
      taints: [other, { key: 'sysctl-agent.dev/not-ready', effect: 'NoSchedule' }],
    });
    await api.admin.create(
      policiesPath,
      policyOf('p3', { ...selected('p3'), kubelet: { allowedUnsafeSysctls: ['net.core.somaxconn'] } }),
    );
    await until(
      async () => (await connection.policies.load()).ok && connection.policies.selected().length === 1,
    );

    await connection.reporter.report(
      facts(connection, {
        policies: ['p3'],
        state: 'applying',
        drift: driftWith({ entries: ['net.core.somaxconn'] }),
      }),
    );
    await until(async () => text(await statusOf(name), 'state') === 'applying');
    t.equal(await labelOf(name, 'p3'), undefined, 'not while the change is under way');
    t.match(JSON.stringify(await nodeOf(name)), 'not-ready');

    await connection.reporter.report(facts(connection, { policies: ['p3'] }));
    await until(async () => (await labelOf(name, 'p3')) !== undefined);
    t.match(await labelOf(name, 'p3'), /^[0-9a-f]{10}$/);
    await until(async () => !JSON.stringify(await nodeOf(name)).includes('not-ready'));
    t.match(field(field(await nodeOf(name), 'spec'), 'taints'), [other]);
    const status = await statusOf(name);
    t.match(status, {
      state: 'converged',
      policy: 'p3',
      driftCount: 0,
      agentVersion: '1.2.3',
      kubeletVersion: 'v1.36.2',
    });
    t.match(field(status, 'policies'), [{ name: 'p3', observedGeneration: 1 }]);
  },
);

void t.test(
  'narrowing removes the label before the node is at risk; widening keeps the old one until proven',
  async (t) => {
    const { name, connection } = await labelled(t, 'p4');
    const wide = { allowedUnsafeSysctls: ['net.core.somaxconn', 'net.ipv4.tcp_*'], existing: 'Remove' };
    await api.admin.create(policiesPath, policyOf('p4', { ...selected('p4'), kubelet: wide }));
    await until(() => connection.policies.selected().length === 1);
    await connection.reporter.report(
      facts(connection, { policies: ['p4'], drift: driftWith({ entries: wide.allowedUnsafeSysctls }) }),
    );
    await until(async () => (await labelOf(name, 'p4')) !== undefined);
    await until(() => connection.nodeLabels()?.['sysctl-agent.dev/p4'] !== undefined);
    const before = await labelOf(name, 'p4');

    const wider = [...wide.allowedUnsafeSysctls, 'kernel.msgmax'];
    await api.admin.merge(`${policiesPath}/p4`, { spec: { kubelet: { allowedUnsafeSysctls: wider } } });
    await until(() => connection.policies.selected()[0]?.spec.kubelet.allowedUnsafeSysctls.length === 3);
    const widening = { entries: wide.allowedUnsafeSysctls, missing: ['kernel.msgmax'] };
    await connection.reporter.report(
      facts(connection, { policies: ['p4'], state: 'waitingForSlot', drift: driftWith(widening) }),
    );
    await until(async () => text(await statusOf(name), 'state') === 'waitingForSlot');
    t.equal(await labelOf(name, 'p4'), before, 'what it says still holds');

    await api.admin.merge(`${policiesPath}/p4`, {
      spec: { kubelet: { allowedUnsafeSysctls: ['net.core.somaxconn'] } },
    });
    await until(() => connection.policies.selected()[0]?.spec.kubelet.allowedUnsafeSysctls.length === 1);
    const narrowing = { entries: wide.allowedUnsafeSysctls, extra: ['net.ipv4.tcp_*'] };
    await connection.reporter.report(
      facts(connection, { policies: ['p4'], state: 'refused', drift: driftWith(narrowing) }),
    );
    const grant = await connection.gate.acquire(
      { unit: 'kubelet.service', planHash: 'x', maxUnavailable: 1, maxFailed: 0, policies: ['p4'] },
      new AbortController().signal,
    );
    t.equal(grant.kind, 'granted');
    t.equal(await labelOf(name, 'p4'), undefined, 'gone before the grant');
    await connection.gate.settle('committed');
  },
);

void t.test('labels of policies that no longer select the node go; labels of others stay', async (t) => {
  const { name, connection } = await labelled(t, 'p5');
  await api.admin.merge(`/api/v1/nodes/${name}`, {
    metadata: {
      labels: { 'sysctl-agent.dev/old': '0123456789', 'sysctl-agent.dev/mine': 'by-hand', team: 'a' },
    },
  });
  await until(() => connection.nodeLabels()?.['team'] !== undefined);
  await connection.reporter.report(facts(connection, { policies: [] }));
  await until(async () => (await labelOf(name, 'old')) === undefined);
  t.equal(await labelOf(name, 'mine'), 'by-hand');
});

void t.test('a roll-back and a halt are events of the Node, told once', async (t) => {
  const { name, connection } = await labelled(t, 'p6');
  const last = {
    id: 'tx-1',
    startedAtMs: 0,
    endedAtMs: 1000,
    verdict: 'rolledBack',
    by: 'watchdog',
    code: 'KUBELET_EXITED',
    message: 'the kubelet exited with status 1',
  } as const;
  await connection.reporter.report(facts(connection, { policies: [] }));
  await until(async () => (await statusOf(name)) !== undefined);
  await connection.reporter.report(
    facts(connection, { policies: [], state: 'latched', lastTransaction: last }),
  );
  const events = async (): Promise<readonly unknown[]> =>
    list(field(await api.admin.get('/api/v1/namespaces/default/events'), 'items')).filter(
      (event) => text(field(event, 'involvedObject'), 'name') === name,
    );
  await until(async () => (await events()).length > 0);
  await connection.reporter.report(
    facts(connection, { policies: [], state: 'latched', lastTransaction: last, observedAtMs: 5_000 }),
  );
  await until(async () => text(await statusOf(name), 'observedAt') === '1970-01-01T00:00:05Z');
  t.match(await events(), [
    {
      type: 'Warning',
      reason: 'SysctlsRolledBack',
      message:
        'Change tx-1 was rolled back by the watchdog. KUBELET_EXITED: the kubelet exited with status 1',
    },
  ]);
  t.equal((await events()).length, 1);
});

void t.test('what did not change costs no request', async (t) => {
  const { name, connection } = await labelled(t, 'p7');
  await connection.reporter.report(facts(connection, { policies: [] }));
  await until(async () => (await statusOf(name)) !== undefined);
  await until(() => connection.pods.pods().kind === 'known');
  const before = connection.requests();
  await connection.reporter.report(facts(connection, { policies: [] }));
  connection.reporter.refresh();
  await hastyClock().sleep(20_000);
  t.equal(connection.requests(), before);
});

void t.test('a condition keeps its time while it holds, also over a restart of the agent', async (t) => {
  const first = await labelled(t, 'p8');
  await first.connection.reporter.report(facts(first.connection, { policies: [] }));
  await until(async () => (await statusOf(first.name)) !== undefined);
  first.connection.close();
  const second = await agent(t, { name: first.name });
  const conditions = factsOf({ policies: [] }).conditions.map((each) =>
    each.type === 'KubeletHealthy' ? { ...each, status: 'False' as const, reason: 'unhealthy' } : each,
  );
  await second.connection.reporter.report(
    facts(second.connection, { policies: [], conditions, observedAtMs: Date.UTC(2026, 5, 1) }),
  );
  await until(async () => text(await statusOf(first.name), 'observedAt') === '2026-06-01T00:00:00Z');
  const times = Object.fromEntries(
    list(field(await statusOf(first.name), 'conditions')).map((each) => [
      text(each, 'type'),
      text(each, 'lastTransitionTime'),
    ]),
  );
  t.strictSame(times, {
    Observed: '2026-01-02T03:04:05Z',
    InSync: '2026-01-02T03:04:05Z',
    KubeletHealthy: '2026-06-01T00:00:00Z',
    RolloutHalted: '2026-01-02T03:04:05Z',
  });
});

const podOf = (name: string, node: string, sysctls: readonly object[], owner?: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace,
    ...(owner === undefined
      ? {}
      : {
          ownerReferences: [
            { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: owner, controller: true },
          ],
        }),
  },
  spec: {
    nodeName: node,
    containers: [{ name: 'c', image: 'pause' }],
    securityContext: { sysctls },
  },
});

const podsPath = `/api/v1/namespaces/${namespace}/pods`;
const rejected = {
  status: {
    phase: 'Failed',
    reason: 'SysctlForbidden',
    message: 'Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted',
  },
};

void t.test(
  'pods of this node that use sysctls are known, rejected ones are counted by what they lack',
  async (t) => {
    const { name, connection } = await labelled(t, 'p9');
    await api.admin.create(
      podsPath,
      podOf('p9-user', name, [{ name: 'net/ipv4/tcp_keepalive_time', value: '60' }]),
    );
    await api.admin.create(podsPath, podOf('p9-plain', name, []));
    await api.admin.create(
      podsPath,
      podOf('p9-elsewhere', 'another-node', [{ name: 'net.core.somaxconn', value: '1' }]),
    );
    await api.admin.create(podsPath, podOf('p9-bad', name, [{ name: 'net.core.somaxconn', value: '512' }]));
    await api.admin.merge(`${podsPath}/p9-bad/status`, rejected);
    await until(() => {
      const pods = connection.pods.pods();
      return pods.kind === 'known' && pods.running.length === 1 && pods.forbidden.length === 1;
    });
    t.match(connection.pods.pods(), {
      kind: 'known',
      running: [{ namespace, name: 'p9-user', sysctls: { 'net/ipv4/tcp_keepalive_time': '60' } }],
      forbidden: [{ namespace, name: 'p9-bad', sysctls: ['net.core.somaxconn'] }],
    });
    await connection.reporter.report(
      facts(connection, { policies: [], drift: driftWith({ entries: ['net.ipv4.*'] }) }),
    );
    await until(async () => list(field(await statusOf(name), 'forbiddenPods')).length === 1);
    const status = await statusOf(name);
    t.match(field(status, 'forbiddenPods'), [{ namespace, sysctl: 'net.core.somaxconn', pods: 1 }]);
    t.equal(
      text(status, 'message'),
      `1 pod in ${namespace} was rejected: no entry allows net.core.somaxconn.`,
    );
    await connection.reporter.report(facts(connection, { policies: [] }));
    await until(async () => text(await statusOf(name), 'message') === '');
    t.pass('allowed by now: what was rejected before is only a leftover');
  },
);

void t.test(
  'leftovers of controllers are deleted oldest first, the youngest and those of nobody stay',
  async (t) => {
    const { name } = await labelled(t, 'p10', { cleanEveryMs: 2_000 });
    const uid = '11111111-1111-4111-8111-111111111111';
    for (const pod of ['p10-a', 'p10-b', 'p10-c', 'p10-own']) {
      const sysctls = [{ name: 'net.core.somaxconn', value: '512' }];
      await api.admin.create(podsPath, podOf(pod, name, sysctls, pod === 'p10-own' ? undefined : uid));
      await api.admin.merge(`${podsPath}/${pod}/status`, rejected);
    }
    const left = async (): Promise<readonly (string | undefined)[]> =>
      list(field(await api.admin.get(podsPath), 'items'))
        .map((pod) => text(field(pod, 'metadata'), 'name'))
        .filter((pod) => pod?.startsWith('p10-'));
    await until(async () => (await left()).length === 2);
    t.ok((await left()).includes('p10-own'));
  },
);

// Without this the servers, which outlive the tests, would keep the file from ending.
t.end();
