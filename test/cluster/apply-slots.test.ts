import t from 'tap';
import { bootNode, nodeTierUnavailable, waitFor } from '../node/support/node.ts';
import { startApi } from './support/api.ts';
import { bridgeTo } from './support/bridge.ts';
import { ClusterNode, slotsOf } from './support/cluster-node.ts';

// One-shot applies on two throw-away nodes, as Jobs do them: each waits for its turn, and a failure stops the next.
const skip = nodeTierUnavailable() ?? false;

void t.test('one-shot applies respect the slots', { skip }, async (t) => {
  const api = await startApi();
  t.teardown(async () => api.close());
  const bridge = await bridgeTo(api);
  t.teardown(async () => bridge.close());
  const [bad, good] = await Promise.all(
    [['with-flag:exit-at-once'], []].map(async (faults) =>
      ClusterNode.join(await bootNode({ layout: 'quick', faults }, t), api, bridge),
    ),
  );
  if (bad === undefined || good === undefined) throw new Error('two nodes were asked for');
  const apply = async (node: ClusterNode, ...more: readonly string[]) =>
    node.once('apply', '--allow', 'net.core.somaxconn', '--probation', '1s', '--slots', ...more);

  await t.test('a failed node keeps its slot', async (t) => {
    const { code, stdout } = await (await apply(bad)).result;
    t.equal(code, 4);
    t.match(stdout, 'Waiting for a slot: at most 1 at risk for command-line.');
    t.match(await slotsOf(api), [{ holder: bad.name, failure: 'rolledBack' }]);
    t.match(await bad.node.healthz(), { status: 200 });
  });

  await t.test('the next one is refused, untouched, and named who failed', async (t) => {
    const unit = await good.node.property('FragmentPath');
    const before = good.node.read(unit);
    const { code, stdout, stderr } = await (await apply(good)).result;
    t.equal(code, 3);
    t.match(stdout + stderr, 'ROLLOUT_HALTED');
    t.match((stdout + stderr).replaceAll(/\s+/g, ' '), `${bad.name} (rolledBack)`);
    t.strictSame(good.node.read(unit), before);
    t.equal((await slotsOf(api)).length, 1);
  });

  await t.test('the failed node may try again under its own slot, and frees it by success', async (t) => {
    bad.node.faults([]);
    const { code } = await (await apply(bad, '--force', 'PLAN_LATCHED')).result;
    t.equal(code, 0);
    t.strictSame(await slotsOf(api), []);
    t.match(await bad.node.admit('net.core.somaxconn=512'), { admitted: true });
  });

  await t.test('while one node is at risk another waits, and goes on by itself', async (t) => {
    const first = await bad.once(
      'apply',
      '--allow',
      'net.core.somaxconn,net.ipv4.tcp_tw_reuse',
      '--probation',
      '6s',
      '--slots',
    );
    await waitFor(async () => (await slotsOf(api)).length === 1, { what: 'the slot to be taken' });
    const second = await apply(good);
    await waitFor(async () => Promise.resolve(second.stdout().includes('Waiting for a slot')), {
      what: 'the other to wait',
    });
    t.match(await slotsOf(api), [{ holder: bad.name, failure: undefined }]);
    t.match(await good.node.admit('net.core.somaxconn=512'), { admitted: false });
    t.equal((await first.result).code, 0);
    t.equal((await second.result).code, 0);
    t.match(await good.node.admit('net.core.somaxconn=512'), { admitted: true });
    t.strictSame(await slotsOf(api), []);
  });

  await t.test('what is as it should be takes no slot, and a wait ends with a signal', async (t) => {
    const { code, stdout } = await (await apply(good)).result;
    t.equal(code, 0);
    t.notMatch(stdout, 'Waiting for a slot');
    const first = await bad.once(
      'apply',
      '--allow',
      'net.core.somaxconn,kernel.sem',
      '--probation',
      '5s',
      '--slots',
    );
    await waitFor(async () => (await slotsOf(api)).length === 1, { what: 'the slot to be taken' });
    const waits = await good.once('apply', '--allow', 'net.core.somaxconn,kernel.sem', '--slots');
    await waitFor(async () => Promise.resolve(waits.stdout().includes('Waiting for a slot')), {
      what: 'the other to wait',
    });
    waits.kill('SIGTERM');
    const ended = await waits.result;
    t.equal(ended.code, 3);
    t.match(ended.stderr, /INTERRUPTED.*stopped by a signal/s);
    t.match(await good.node.admit('kernel.sem=1'), { admitted: false });
    t.equal((await first.result).code, 0);
    t.strictSame(await slotsOf(api), []);
  });
});
