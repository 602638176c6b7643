import { test } from 'tap';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;
const apply = ['apply', '--allow', 'net.core.somaxconn', '--probation', '1s'];
const admitted = { admitted: true, message: 'Running' };

void test(
  'EnvironmentFile and KubeletConfig need a restart and no reload, and go back',
  { skip },
  async (t) => {
    const cases = [
      ['kubeadm', 'EnvironmentFile', '/etc/default/kubelet'],
      ['env-file', 'EnvironmentFile', '/etc/default/kubelet'],
      ['with-config-list', 'KubeletConfig', undefined],
      ['config-dir', 'KubeletConfig', undefined],
    ] as const;
    const one = async ([layout, placement, file]: (typeof cases)[number]): Promise<void> => {
      const node = await bootNode({ layout }, t);
      const before = file === undefined ? undefined : node.read(file).toString();
      const argv = await node.property('ExecStart');
      const result = await node.agent([...apply, '--placement', placement]);
      t.equal(result.code, 0, `${layout} ${placement}: ${result.stdout}${result.stderr}`);
      t.same(await node.admit('net.core.somaxconn=512'), admitted);
      t.equal(words(await node.property('ExecStart')), words(argv), 'systemd holds the command that it held');
      t.notMatch(result.stdout, 'reload systemd');
      t.equal(
        (await node.agent(['plan', '--allow', 'net.core.somaxconn', '--placement', placement])).code,
        0,
      );
      t.equal((await node.agent(['rollback'])).code, 0);
      t.equal((await node.admit('net.core.somaxconn=512')).admitted, false);
      if (file !== undefined) t.equal(node.read(file).toString(), before);
      await node.dispose();
    };
    await one(cases[0]);
    await one(cases[1]);
    await one(cases[2]);
    await one(cases[3]);
  },
);

// Reads its configuration as k3s does, as far as this test writes one, and becomes the kubelet.
const k3s = `#!/bin/sh
set --
for word in $(sed -n 's/^- //p' /etc/rancher/k3s/config.yaml 2>/dev/null); do set -- "$@" "--$word"; done
exec /opt/agent/kubelet --config=/var/lib/kubelet/config.yaml "$@"
`;

void test('k3s: found by what runs, its file written, its own unit restarted', { skip }, async (t) => {
  const node = await bootNode({ layout: 'masked' }, t);
  node.write('/usr/local/bin/k3s', k3s, 0o755);
  node.write(
    '/etc/systemd/system/k3s.service',
    '[Service]\nExecStart=/usr/local/bin/k3s server\nKillMode=process\nRestart=always\nRestartSec=1\n',
  );
  await node.systemctl('daemon-reload');
  await node.systemctl('start', 'k3s');
  await healthy(node);
  const result = await node.agent(apply);
  t.equal(result.code, 0, result.stdout + result.stderr);
  t.equal(
    node.read('/etc/rancher/k3s/config.yaml').toString(),
    'kubelet-arg:\n- allowed-unsafe-sysctls=net.ipv4.ip_forward,net.ipv6.conf.all.forwarding,net.core.somaxconn\n',
  );
  t.same(await node.admit('net.core.somaxconn=512'), admitted);
  t.equal((await node.agent(['plan', '--allow', 'net.core.somaxconn'])).code, 0);
  t.equal((await node.agent(['rollback'])).code, 0);
  t.notOk(node.exists('/etc/rancher/k3s/config.yaml'));
  t.equal((await node.admit('net.core.somaxconn=512')).admitted, false);
});

async function healthy(node: TestNode): Promise<void> {
  await node.waitFor(async () => (await node.healthz())?.body === 'ok', {
    what: 'k3s to answer',
    deadlineMs: 20_000,
  });
}

/** The command itself: behind it systemctl prints when it last ran. */
function words(shown: string): string {
  return shown.replace(/ ignore_errors=[^]*$/, '').replace(/ ; $/, '');
}
