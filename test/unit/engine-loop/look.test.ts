import t, { type Test } from 'tap';
import type { Latch } from '../../../agent/host/latch.ts';
import { applyPolicy, hashOf, planNode } from '../../../agent/engine/apply.ts';
import { type Look, lookAtNode, type LookRequest } from '../../../agent/engine/loop-look.ts';
import { stateOf } from '../../../agent/engine/loop-words.ts';
import { type FakeNode, fakeNode } from '../../support/host/fake-node.ts';
import { policy } from '../engine/support.ts';

// One policy with both parts: an entry for the kubelet, and a sysctl of the node to keep.
const wanted = policy({
  sysctls: [
    { name: 'vm.max_map_count', expectation: { kind: 'value', value: '262144' }, remediation: 'Write' },
  ] as never,
});
const standing = { broken: false, fighting: false, halted: false, waiting: false };
const drifted = { sysctls: { 'vm.max_map_count': '65530' } };

async function look(node: FakeNode, request: Partial<LookRequest> = {}): Promise<Look> {
  return lookAtNode(node.ports, {
    policy: wanted,
    except: [],
    latch: undefined,
    failed: undefined,
    configz: async () => Promise.resolve({ kind: 'unknown', reason: 'not asked' }),
    nowMs: node.host.clock.now(),
    ...request,
  });
}

async function carryOut(t: Test, node: FakeNode, { plan }: Look): Promise<void> {
  if (plan === undefined) throw new Error('there is nothing to carry out');
  const { kind } = await applyPolicy(node.host, node.ports, {
    policy: plan.policy,
    force: [],
    requestedBy: 'test',
    report: node.report(),
    signal: new AbortController().signal,
  });
  t.equal(kind, 'committed');
}

const latchOf = (hash: string | undefined): Latch => ({
  planHash: hash ?? '',
  code: 'KUBELET_EXITED',
  message: 'it did',
  sinceMs: 0,
  transaction: 'one',
});

void t.test('the node sysctls are put right first, without a restart, then the kubelet', async (t) => {
  const node = await fakeNode(t, drifted);
  const first = await look(node);
  t.match(first, { wish: 'change', subjects: ['sysctls', 'kubelet'], plan: { subject: 'sysctls' } });
  t.equal(first.plan?.plan.restart, false);
  await carryOut(t, node, first);

  const second = await look(node);
  t.match(second, { wish: 'change', subjects: ['kubelet'], plan: { subject: 'kubelet' } });
  t.equal(second.plan?.plan.restart, true);
  await carryOut(t, node, second);
  t.match(await look(node), { wish: 'nothing', subjects: [], plan: undefined });
});

void t.test('a kubelet that is latched does not keep the node sysctls from being put right', async (t) => {
  const node = await fakeNode(t, drifted);
  await carryOut(t, node, await look(node));
  const latch = latchOf((await look(node)).plan?.hash);
  const latched = await look(node, { latch });
  t.match(latched, { wish: 'latched', latch: { transaction: 'one' } });

  node.sysctls.set('vm.max_map_count', '1');
  const healing = await look(node, { latch });
  t.match(healing, { wish: 'change', plan: { subject: 'sysctls' }, latch: { transaction: 'one' } });
  t.equal(stateOf(healing, standing), 'latched');
  await carryOut(t, node, healing);
  t.equal((await look(node, { latch })).wish, 'latched', 'what is latched is the very same plan as before');

  node.sysctls.set('vm.max_map_count', '1');
  const { outcome } = await planNode(node.ports, wanted, [], node.host.clock.now());
  t.equal(outcome.kind === 'change' && hashOf(outcome.plan), latch.planHash, 'and that of an apply of both');
});

void t.test(
  'a kubelet that must not be touched does not keep the node sysctls from being put right',
  async (t) => {
    const node = await fakeNode(t, drifted);
    node.write('/etc/systemd/system/kubelet.service', '[Service]\nExecStart=/usr/bin/kubelet "\n');
    await node.systemd.daemonReload();
    const healing = await look(node);
    t.match(healing, { wish: 'change', plan: { subject: 'sysctls' } });
    t.ok(healing.problems.length > 0);
    t.equal(stateOf(healing, standing), 'refused');
    await carryOut(t, node, healing);
    t.match(await look(node), { wish: 'refused', plan: undefined });
  },
);

void t.test('a sysctl that cannot be set does not keep the kubelet from its change', async (t) => {
  const node = await fakeNode(t, drifted);
  t.match(await look(node, { failed: 'sysctls' }), { wish: 'change', plan: { subject: 'kubelet' } });
  t.match(await look(node, { failed: 'kubelet' }), { wish: 'change', plan: { subject: 'sysctls' } });
});

void t.test('what is fought over is left alone, and counts as drifted all the same', async (t) => {
  const node = await fakeNode(t, drifted);
  const one = await look(node, { except: ['sysctls'] });
  t.match(one, { wish: 'change', plan: { subject: 'kubelet' }, subjects: ['sysctls', 'kubelet'] });
  t.match(await look(node, { except: ['sysctls', 'kubelet'] }), { wish: 'nothing', plan: undefined });
});
