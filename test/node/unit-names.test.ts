import t from 'tap';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

// What systemd makes of names and variables; whose kubelet answers does not matter.
const tier = { skip: nodeTierUnavailable() ?? false, timeout: 120_000 };
const body = (words: string): string => `[Unit]
StartLimitIntervalSec=0
[Service]
EnvironmentFile=-/etc/default/kubelet
ExecStart=/usr/bin/kubelet --v=2${words}
Restart=always
RestartSec=100ms
`;
const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';
const apply = ['apply', '--allow', 'net.core.somaxconn', '--probation', '1s'];

async function nodeWith(
  files: Readonly<Record<string, string>>,
  start: string,
  teardown: Parameters<typeof bootNode>[1],
): Promise<TestNode> {
  const node = await bootNode({ layout: 'masked', kubelet: 'standin' }, teardown);
  await node.exec([
    'sh',
    '-c',
    'rm -rf /etc/systemd/system/kubelet.service* /usr/lib/systemd/system/kubelet.service*',
  ]);
  for (const [path, text] of Object.entries(files)) node.write(path, text);
  const { code, stderr } = await node.exec(['sh', '-c', `systemctl daemon-reload && ${start}`]);
  if (code !== 0) throw new Error(stderr);
  await node.waitFor(async () => (await node.healthz('127.0.0.1:10248'))?.body === 'ok', {
    what: 'the kubelet',
  });
  return node;
}

async function argv(node: TestNode, unit: string): Promise<string> {
  const { stdout } = await node.exec([
    'sh',
    '-c',
    `tr '\\0' ' ' </proc/$(systemctl show -P MainPID ${unit})/cmdline`,
  ]);
  return stdout.trim();
}

void t.test(
  'an instance of a template gets a drop-in of its own; the template is not touched',
  tier,
  async (t) => {
    const template = '/etc/systemd/system/kubelet@.service';
    const node = await nodeWith(
      { [template]: body(' --hostname-override=%i') },
      'systemctl start kubelet@blue',
      t,
    );
    const done = await node.agent([...apply, '--unit', 'kubelet@blue.service']);
    t.equal(done.code, 0, done.stdout + done.stderr);
    t.equal(await argv(node, 'kubelet@blue'), `/usr/bin/kubelet --v=2 --hostname-override=blue ${flag}`);
    t.equal(node.read(template).toString(), body(' --hostname-override=%i'));
    t.equal((await node.agent(['rollback'])).code, 0);
    t.notOk(node.exists('/etc/systemd/system/kubelet@blue.service.d'), 'nor is its directory left');
  },
);

void t.test('an alias leads to the unit that it names', tier, async (t) => {
  const unit = '/etc/systemd/system/k8s-node.service';
  const link = 'ln -s k8s-node.service /etc/systemd/system/kubelet.service && systemctl daemon-reload';
  const node = await nodeWith({ [unit]: body('') }, `${link} && systemctl start kubelet`, t);
  const done = await node.agent(apply);
  t.equal(done.code, 0, done.stdout + done.stderr);
  t.equal(node.read(unit).toString(), body(` ${flag}`));
  t.equal(
    (await node.exec(['readlink', '/etc/systemd/system/kubelet.service'])).stdout,
    'k8s-node.service\n',
  );
});

void t.test("a variable of systemd's own environment is part of the command line", tier, async (t) => {
  const set = 'systemctl set-environment ARGS=--allowed-unsafe-sysctls=kernel.sem';
  const unit = '/etc/systemd/system/kubelet.service';
  const files = { [unit]: body(' $ARGS'), '/etc/default/kubelet': '# nothing\n' };
  const node = await nodeWith(files, `${set} && systemctl start kubelet`, t);
  const done = await node.agent(apply);
  t.equal(done.code, 0, done.stdout + done.stderr);
  t.match(await argv(node, 'kubelet'), 'kernel.sem,net.core.somaxconn', 'what it allowed is kept');

  t.equal((await node.agent(['rollback'])).code, 0);
  await node.exec(['systemctl', 'set-environment', 'ARGS=--v=4']);
  const refused = await node.agent(apply);
  t.equal(refused.code, 3, refused.stdout + refused.stderr);
  t.match(refused.stdout + refused.stderr, 'UNIT_CHANGED_SINCE_START', 'no restart brings that into force');
});
