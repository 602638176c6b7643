import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { field, text } from '../../agent/cluster/objects.ts';
import { bootNode, nodeTierUnavailable, waitFor } from '../node/support/node.ts';
import { namespace, startApi, type TestApi } from './support/api.ts';
import { type Bridge, bridgeTo } from './support/bridge.ts';
import { ClusterNode, leasesPath, policiesPath, slotsOf } from './support/cluster-node.ts';

// Two throw-away nodes with the real agent, and one API server, go through a bad week: each test goes on where the one
// before left them.
const skip = nodeTierUnavailable() ?? false;
const somaxconn = 'net.core.somaxconn';
const backlog = 'net.ipv4.tcp_max_syn_backlog';
const reuse = 'net.ipv4.tcp_tw_reuse';
const held = 'sysctl_agent_slot_held';

void t.test('two agents in a cluster', { skip }, async (t) => {
  const api = await startApi();
  t.teardown(async () => api.close());
  const bridge = await bridgeTo(api);
  t.teardown(async () => bridge.close());
  const [first, second] = await Promise.all([
    newNode(t, api, bridge, ['with-flag:exit-at-once']),
    newNode(t, api, bridge, []),
  ]);
  const web = `${policiesPath}/web`;
  const policy = (entries: readonly string[], over: object = {}, probation = '1s'): object => ({
    apiVersion: 'sysctl-agent.dev/v1alpha1',
    kind: 'NodeSysctlPolicy',
    metadata: { name: 'web' },
    spec: { kubelet: { allowedUnsafeSysctls: entries, ...over }, rollout: { maxUnavailable: 1, probation } },
  });
  const want = async (entries: readonly string[], over: object = {}, probation = '1s'): Promise<void> => {
    await api.admin.merge(web, { spec: field(policy(entries, over, probation), 'spec') as object });
  };
  const noSlots = async (): Promise<void> => {
    await waitFor(async () => (await slotsOf(api)).length === 0, { what: 'all slots to be free' });
  };

  await t.test('a node that no policy selects has nothing to prove: its start-up taint goes', async (t) => {
    t.equal((await first.taints()).length, 2);
    await first.start();
    await first.isIn('converged');
    await waitFor(async () => (await first.taints()).length === 1, { what: 'the taint to go' });
    t.match(await first.taints(), [{ key: 'team' }]);
    t.equal(await first.metric(held), 0);
  });

  await t.test('a kubelet that fails is rolled back, and its node keeps the slot and says why', async (t) => {
    await api.admin.create(policiesPath, policy([somaxconn]));
    const status = await first.isIn('latched', (seen) => text(field(seen, 'slot'), 'state') === 'Held');
    t.match(field(status, 'lastTransaction'), { verdict: 'rolledBack', code: /^KUBELET_/ });
    t.match(text(status, 'message'), /^KUBELET_/);
    t.match(await slotsOf(api), [{ name: 'slot.web.0', holder: first.name, failure: 'rolledBack' }]);
    await waitFor(async () => (await first.events()).includes('SysctlsRolledBack'), { what: 'the event' });
    await waitFor(async () => (await first.metric(held)) === 1, { what: 'the metric of the slot' });
    t.equal(await first.label('web'), undefined);
    t.match(await first.node.healthz(), { status: 200 });
  });

  await t.test('another node is halted, and names the one that failed', async (t) => {
    await second.start();
    const status = await second.isIn('halted');
    t.match(field(status, 'slot'), { state: 'Halted', haltedBy: [first.name] });
    t.equal(text(status, 'message'), `The rollout of policy web is halted by ${first.name}.`);
    await waitFor(async () => (await second.events()).includes('RolloutHalted'), { what: 'the event' });
    t.match(await second.taints(), [{ key: 'team' }, { key: 'sysctl-agent.dev/not-ready' }]);
    t.match(await second.node.admit(`${somaxconn}=512`), { admitted: false });
    t.equal(await second.metric(held), 0);
  });

  await t.test('an agent that is started again finds its slot, and keeps it', async (t) => {
    t.match(await first.end('SIGTERM'), { code: 0 });
    await first.start();
    await first.isIn('latched', (seen) => text(field(seen, 'slot'), 'state') === 'Held');
    await waitFor(async () => (await first.metric(held)) === 1, { what: 'the metric of the slot' });
    t.match(await slotsOf(api), [{ holder: first.name, failure: 'rolledBack' }]);
  });

  await t.test('a failed change is tried once more when its Node says so, and only once', async (t) => {
    const latched = (status: unknown): string => text(field(status, 'latched'), 'transaction') ?? '';
    const retry = async (id: string): Promise<void> => {
      await api.admin.merge(`/api/v1/nodes/${first.name}`, {
        metadata: { annotations: { 'sysctl-agent.dev/retry': id } },
      });
    };
    const failed = latched(await first.status());
    await retry(failed);
    const again = await first.isIn('latched', (seen) => latched(seen) !== failed);
    t.match(field(again, 'lastTransaction'), { verdict: 'rolledBack', code: /^KUBELET_/ });
    // Each makes the agent look again.
    for (const id of ['', `${failed}x`, failed]) {
      await retry(id);
      await setTimeout(1_500);
    }
    t.equal(latched(await first.status()), latched(again));
    t.match(await slotsOf(api), [{ holder: first.name, failure: 'rolledBack' }]);
  });

  await t.test(
    'without the policy the failed node is well: the slot is free, also by a new agent',
    async (t) => {
      await first.end('SIGKILL');
      await api.admin.remove(web);
      await first.start();
      await first.isIn('converged');
      await noSlots();
      await second.isIn('converged');
      await waitFor(async () => (await first.metric(held)) === 0, { what: 'the metric of the slot' });
      t.match(await second.taints(), [{ key: 'team' }], 'there is nothing to prove any more');
    },
  );

  await t.test('a policy is carried out one node at a time, labelled once it is proven', async (t) => {
    first.node.faults([]);
    const most = { held: 0, watching: true };
    const watching = (async () => {
      while (most.watching) most.held = Math.max(most.held, (await slotsOf(api)).length);
    })();
    await api.admin.create(policiesPath, policy([somaxconn, backlog]));
    for (const each of [first, second]) {
      await each.isIn('converged', (seen) => text(seen, 'policy') === 'web');
      await waitFor(async () => (await each.events()).includes('SysctlsApplied'), { what: 'the event' });
      t.match(await each.node.admit(`${backlog}=256`), { admitted: true });
    }
    await noSlots();
    most.watching = false;
    await watching;
    t.equal(most.held, 1);
    const label = await first.label('web');
    t.match(label, /^[0-9a-f]{10}$/);
    t.equal(await second.label('web'), label);
  });

  await t.test(
    'a removal waits for a pod that the API server alone knows, and goes on when it is gone',
    async (t) => {
      const pods = `/api/v1/namespaces/${namespace}/pods`;
      await api.admin.create(pods, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'user', namespace },
        spec: {
          nodeName: first.name,
          securityContext: { sysctls: [{ name: 'net/ipv4/tcp_max_syn_backlog', value: '60' }] },
          containers: [{ name: 'main', image: 'pause' }],
        },
      });
      await want([somaxconn], { existing: 'Remove' });
      const status = await first.isIn('refused');
      t.match(
        text(status, 'message'),
        `REMOVAL_IN_USE: the kubelet would kill a running pod: ${namespace}/user`,
      );
      await waitFor(async () => (await first.label('web')) === undefined, { what: 'the label to go' });
      await waitFor(async () => (await first.events()).includes('SysctlsRefused'), { what: 'the event' });
      await second.isIn('converged', (seen) => field(seen, 'driftCount') === 0);
      t.match(await first.node.admit(`${backlog}=256`), { admitted: true });
      const began = performance.now();
      await api.admin.remove(`${pods}/user?gracePeriodSeconds=0`);
      await first.isIn('converged');
      t.ok(performance.now() - began < 30_000, 'told by the watch, not by the next look');
      t.match(await first.node.admit(`${backlog}=256`), { admitted: false });
      await waitFor(async () => (await first.label('web')) !== undefined, { what: 'the label to come' });
      t.equal(await first.label('web'), await second.label('web'));
    },
  );

  await t.test(
    'while the API server is away the node is watched, and what is news is told afterwards',
    async (t) => {
      await api.outage(async () => {
        t.equal(await first.get('/readyz'), 'ok');
        await first.node.systemctl('restart', 'kubelet');
        const other = 'sysctl_agent_kubelet_restarts_total{reason="other"}';
        await waitFor(async () => (await first.metric(other)) === 1, { what: 'the restart to be seen' });
        t.equal(await first.get('/livez'), 'ok');
      });
      await want([somaxconn, reuse]);
      for (const each of [first, second]) {
        await waitFor(async () => (await each.node.admit(`${reuse}=1`)).admitted, {
          what: `${each.name} to allow ${reuse}`,
          deadlineMs: 60_000,
        });
        await each.isIn('converged');
      }
      await noSlots();
    },
  );

  await t.test('an agent that waits for a slot ends at once when it is told to', async (t) => {
    await api.admin.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'other' } });
    await api.admin.create(leasesPath, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: 'slot.web.0',
        namespace,
        labels: { 'sysctl-agent.dev/slot-of': 'web' },
        annotations: { 'sysctl-agent.dev/slot-index': '0' },
      },
      spec: { holderIdentity: 'other' },
    });
    await want([somaxconn, reuse, backlog], {}, '15s');
    for (const each of [first, second]) {
      await each.isIn('waitingForSlot', (seen) => text(field(seen, 'slot'), 'state') === 'Waiting');
    }
    const { code, tookMs } = await second.end('SIGTERM');
    t.equal(code, 0);
    t.ok(tookMs < 10_000, `${tookMs} ms`);
    await api.admin.remove(`${leasesPath}/slot.web.0`);
  });

  await t.test(
    'an agent that is told to end in the middle of a probation leaves slot and journal to the next',
    async (t) => {
      await first.isIn('applying');
      await waitFor(async () => (await first.node.admit(`${backlog}=256`)).admitted, {
        what: 'the restart',
      });
      const { code, tookMs } = await first.end('SIGTERM');
      t.equal(code, 0);
      t.ok(tookMs < 10_000, `${tookMs} ms`);
      t.match(await slotsOf(api), [{ name: 'slot.web.0', holder: first.name, failure: undefined }]);
      await second.start();
      await second.isIn('waitingForSlot');
      await want([somaxconn, reuse, backlog]);
      await first.start();
      for (const each of [first, second]) {
        await waitFor(async () => (await each.node.admit(`${backlog}=256`)).admitted, {
          what: `${each.name} to allow ${backlog}`,
          deadlineMs: 90_000,
        });
        await each.isIn('converged');
      }
      await noSlots();
      for (const each of [first, second]) t.match(await each.end('SIGTERM'), { code: 0 });
    },
  );
});

async function newNode(
  t: { teardown(dispose: () => Promise<void>): unknown },
  api: TestApi,
  bridge: Bridge,
  faults: readonly string[],
): Promise<ClusterNode> {
  const node = await bootNode({ layout: 'quick', faults }, t);
  return ClusterNode.join(node, api, bridge, {
    taints: [
      { key: 'team', value: 'web', effect: 'NoSchedule' },
      { key: 'sysctl-agent.dev/not-ready', effect: 'NoSchedule' },
    ],
  });
}
