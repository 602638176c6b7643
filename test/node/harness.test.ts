import { test } from 'tap';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;

for (const layout of ['icp', 'kubeadm']) {
  void test(`a ${layout} node boots, runs its kubelet and survives a power cut`, { skip }, async (t) => {
    const node = await bootNode({ layout }, t);

    t.equal(await node.property('ActiveState'), 'active');
    t.match(await node.healthz(), { status: 200, body: 'ok' });
    const before = await node.admit('net.core.somaxconn=512');
    t.notOk(before.admitted);
    t.match(before.message, 'forbidden sysctl: "net.core.somaxconn"');

    const boot = await node.bootId();
    node.write('/etc/kept', 'over a power cut');
    node.write('/run/lost', 'with the power');
    await node.powerCut();
    t.not(await node.bootId(), boot);
    t.equal(node.read('/etc/kept').toString(), 'over a power cut');
    t.notOk(node.exists('/run/lost'));
    t.match(await node.healthz(), { status: 200, body: 'ok' });
  });
}
