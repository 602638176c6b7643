import { test } from 'tap';
import { loadedView } from '../../../agent/plan/layer-views.ts';
import { changeOf, codesOf, image, type NodeSpec, planFor, policyOf, runningNode } from './support/node.ts';

const unit = '/etc/systemd/system/kubelet.service';
const policy = policyOf(['net.core.somaxconn']);
const files = (command: string): Record<string, string> => ({
  [unit]: `[Service]\nEnvironment="ARGS=--v=2 --node-ip=192.0.2.1"\nExecStart=${command}\nRestart=always\n`,
});
const became: NodeSpec = {
  argv: ['/usr/bin/kubelet', '--v=2', '--node-ip=192.0.2.1'],
  executable: '/usr/bin/kubelet',
};

for (const command of [
  '/usr/bin/nice -n -5 /usr/bin/kubelet $ARGS',
  '/usr/bin/taskset -c 0-3 /usr/bin/kubelet $ARGS',
  '/usr/bin/env GODEBUG=x509sha1=1 /usr/bin/kubelet --v=2 --node-ip=192.0.2.1',
  '/opt/bin/start-kubelet.sh $ARGS',
  '/usr/local/bin/kubelet-wrapper $ARGS',
]) {
  void test(`a program that has become the kubelet hands its words on: ${command}`, async (t) => {
    const observed = await runningNode(files(command), became);
    const plan = changeOf(planFor(observed, policy));
    const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';
    t.equal(plan.files[0]?.after, files(`${command} ${flag}`)[unit]);
    t.equal(plan.restart, true);
    t.same(plan.expectation?.entries, ['net.core.somaxconn'], 'probation looks for them in the process');

    const argv = [...(became.argv ?? []), flag];
    const after = await runningNode(files(`${command} ${flag}`), { ...became, argv });
    t.equal(planFor(after, policy).kind, 'converged');
    t.match(loadedView(after), { kind: 'known', entries: ['net.core.somaxconn'] });
  });
}

void test('hyperkube behind such a program is a kubelet too', async (t) => {
  const observed = await runningNode(files('/usr/bin/nice -n -5 /opt/hyperkube kubelet $ARGS'), {
    argv: ['/opt/hyperkube', 'kubelet', '--v=2', '--node-ip=192.0.2.1'],
    executable: '/opt/hyperkube',
  });
  t.match(
    changeOf(planFor(observed, policy)).files[0]?.after,
    'hyperkube kubelet $ARGS --allowed-unsafe-sysctls=net.core.somaxconn\n',
  );
});

const refused: readonly (readonly [title: string, command: string, spec: NodeSpec])[] = [
  [
    'its words are others',
    '/opt/bin/start-kubelet.sh $ARGS',
    { ...became, argv: ['/usr/bin/kubelet', '--v=2'] },
  ],
  ['it got no words', '/opt/bin/start-kubelet.sh', { ...became, argv: ['/usr/bin/kubelet'] }],
  [
    'a variable stands before the kubelet',
    '/usr/bin/nice $LEVEL /usr/bin/kubelet $ARGS',
    { ...became, variables: { LEVEL: '' } },
  ],
  ['it is a container', '/usr/bin/podman run registry.example/k kubelet $ARGS', became],
  [
    'it has not become one',
    '/usr/bin/nice -n -5 /usr/bin/kubelet $ARGS',
    { argv: ['/usr/bin/nice', '-n', '-5', '/usr/bin/kubelet', '--v=2', '--node-ip=192.0.2.1'] },
  ],
];

for (const [title, command, spec] of refused) {
  void test(`a wrapper stays one where ${title}`, async (t) => {
    t.match(codesOf(planFor(await runningNode(files(command), spec), policy)), ['UNIT_WRAPPED']);
  });
}

void test('nothing proves anything in an image', async (t) => {
  const observed = await image(files('/usr/bin/nice -n -5 /usr/bin/kubelet $ARGS'));
  t.same(codesOf(planFor(observed, policy)), ['UNIT_WRAPPED']);
});
