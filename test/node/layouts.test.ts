import t from 'tap';
import { kubeletFiles } from './support/kubelet-files.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const tier = { skip: nodeTierUnavailable() ?? false, timeout: 180_000 };
const sysctl = 'net.core.somaxconn=512';

// icp, kubeadm and quick have tests of their own.
for (const layout of [
  'config-dir',
  'default-limits',
  'env-file',
  'healthz-off',
  'icp-open',
  'kubeadm-etc',
  'notify',
  'standalone',
  'with-flag',
]) {
  void t.test(`${layout}: there with an apply, and back again to the byte`, tier, async (t) => {
    const node = await bootNode({ layout }, t);
    const before = await kubeletFiles(node);
    t.equal((await node.admit(sysctl)).admitted, false);

    const applied = await node.agent(['apply', '--allow', 'net.core.somaxconn', '--probation', '1s']);
    t.equal(applied.code, 0, applied.stdout + applied.stderr);
    t.equal((await node.admit(sysctl)).admitted, true);
    t.equal(await node.property('NRestarts'), '0');

    const back = await node.agent(['rollback']);
    t.equal(back.code, 0, back.stdout + back.stderr);
    t.equal((await node.admit(sysctl)).admitted, false);
    t.equal(await kubeletFiles(node), before, 'directories too');
  });
}
