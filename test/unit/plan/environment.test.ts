import { test } from 'tap';
import { changeOf, codesOf, type Files, planFor, policyOf, runningNode } from './support/node.ts';

const unit = '/usr/lib/systemd/system/kubelet.service';
const kubeadm = (file: string): Files => ({
  [unit]: `[Service]
Environment="KUBELET_CONFIG_ARGS=--v=2"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-${file}
ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`,
  '/var/lib/kubelet/kubeadm-flags.env': 'KUBELET_KUBEADM_ARGS="--node-ip=192.0.2.1"\n',
});
const policy = policyOf(['net.core.somaxconn'], { placement: 'EnvironmentFile' });
const opts = (text: string, exec = '$KUBELET_OPTS'): Files => ({
  [unit]: `[Service]\nEnvironmentFile=/etc/default/kubelet\nExecStart=/usr/bin/kubelet ${exec}\n`,
  '/etc/default/kubelet': text,
});

const texts: readonly [title: string, before: string, after: string][] = [
  ['an empty value', 'KUBELET_OPTS=\n', 'KUBELET_OPTS=--allowed-unsafe-sysctls=net.core.somaxconn\n'],
  [
    'a quoted value',
    '# mine\nKUBELET_OPTS="--v=2 --x=1"\nOTHER=1\n',
    '# mine\nKUBELET_OPTS="--v=2 --x=1 --allowed-unsafe-sysctls=net.core.somaxconn"\nOTHER=1\n',
  ],
  [
    'a value in single quotes',
    "KUBELET_OPTS='--v=2'\n",
    "KUBELET_OPTS='--v=2 --allowed-unsafe-sysctls=net.core.somaxconn'\n",
  ],
  [
    'a value over several lines',
    'KUBELET_OPTS="--v=2 \\\n  --x=1"\n',
    'KUBELET_OPTS="--v=2 \\\n  --x=1 --allowed-unsafe-sysctls=net.core.somaxconn"\n',
  ],
  [
    'a flag in nested quotes',
    `KUBELET_OPTS="--fail-swap-on=false --allowed-unsafe-sysctls='kernel.shm*,kernel.sem' --v=2"\n`,
    `KUBELET_OPTS="--fail-swap-on=false --allowed-unsafe-sysctls='kernel.shm*,kernel.sem,net.core.somaxconn' --v=2"\n`,
  ],
  [
    'a flag in the space form',
    'KUBELET_OPTS="--allowed-unsafe-sysctls kernel.sem --v=2"\n',
    'KUBELET_OPTS="--allowed-unsafe-sysctls kernel.sem,net.core.somaxconn --v=2"\n',
  ],
  [
    'an empty flag',
    'KUBELET_OPTS="--allowed-unsafe-sysctls= --v=2"\n',
    'KUBELET_OPTS="--allowed-unsafe-sysctls=net.core.somaxconn --v=2"\n',
  ],
  [
    'the last of several lines',
    'KUBELET_OPTS=--v=1\nKUBELET_OPTS=--v=2\n',
    'KUBELET_OPTS=--v=1\nKUBELET_OPTS="--v=2 --allowed-unsafe-sysctls=net.core.somaxconn"\n',
  ],
];

for (const [title, before, after] of texts) {
  void test(`EnvironmentFile: ${title} keeps its form`, async (t) => {
    const plan = changeOf(planFor(await runningNode(opts(before)), policy));
    t.equal(plan.files[0]?.after, after);
    t.match(plan, {
      reload: false,
      restart: true,
      placement: { kind: 'EnvironmentFile', path: '/etc/default/kubelet' },
    });
    t.same(plan.expectation?.commandAfter, plan.expectation?.commandBefore, 'systemd sees no difference');
    t.ok(plan.expectation?.entries.includes('net.core.somaxconn'), 'the process has to show it');
    t.equal(planFor(await runningNode(opts(after)), policy).kind, 'converged');
  });
}

void test('EnvironmentFile: a missing optional file is made for the variable that it is there for', async (t) => {
  for (const file of ['/etc/default/kubelet', '/etc/sysconfig/kubelet']) {
    const plan = changeOf(planFor(await runningNode(kubeadm(file)), policy));
    t.same(
      plan.files.map(({ path, before, after }) => ({ path, before, after })),
      [
        {
          path: file,
          before: null,
          after: 'KUBELET_EXTRA_ARGS=--allowed-unsafe-sysctls=net.core.somaxconn\n',
        },
      ],
    );
  }
});

void test("EnvironmentFile: kubeadm's own file is never chosen, even where the flag stands in it", async (t) => {
  const files = {
    ...kubeadm('/etc/default/kubelet'),
    '/var/lib/kubelet/kubeadm-flags.env': 'KUBELET_KUBEADM_ARGS="--allowed-unsafe-sysctls=kernel.sem"\n',
  };
  const plan = changeOf(planFor(await runningNode(files), policy));
  t.equal(plan.files[0]?.path, '/etc/default/kubelet');
  t.same(plan.entries.after, ['kernel.sem', 'net.core.somaxconn']);
});

void test('EnvironmentFile: the file that wins is the one that is edited', async (t) => {
  const files = {
    [unit]: '[Service]\nEnvironmentFile=/etc/one\nEnvironmentFile=/etc/two\nExecStart=/usr/bin/kubelet $A\n',
    '/etc/one': 'A=--v=1\n',
    '/etc/two': 'A=--v=2\n',
  };
  const plan = changeOf(planFor(await runningNode(files), policy));
  t.equal(plan.files[0]?.path, '/etc/two');
  t.equal(plan.files[0]?.after, 'A="--v=2 --allowed-unsafe-sysctls=net.core.somaxconn"\n');
});

const impossible: readonly [title: string, files: Files, why: RegExp][] = [
  [
    'a variable in braces is one argument',
    opts('KUBELET_OPTS=--v=2\n', '${KUBELET_OPTS}'),
    /only as \$\{NAME\}/,
  ],
  ['no variable', opts('KUBELET_OPTS=--v=2\n', '--v=2'), /expands no variable/],
  [
    'a variable inside a word is none',
    opts('KUBELET_OPTS=--v=2\n', '--x=$KUBELET_OPTS'),
    /expands no variable/,
  ],
  [
    'a command that nothing is expanded in',
    { [unit]: '[Service]\nExecStart=:/usr/bin/kubelet $A\n' },
    /prefix ":"/,
  ],
  [
    'a variable that the unit itself sets',
    { [unit]: '[Service]\nEnvironment=A=--v=2\nEnvironmentFile=-/etc/a\nExecStart=/usr/bin/kubelet $A\n' },
    /Environment= of the unit/,
  ],
  [
    'a value whose quote never ends',
    opts(`KUBELET_OPTS="--v=2 --x='a"\n`),
    /quoted so that no word can be added/,
  ],
];

for (const [title, files, why] of impossible) {
  void test(`EnvironmentFile is refused: ${title}`, async (t) => {
    const outcome = planFor(await runningNode(files), policy);
    t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
    t.match(outcome.kind === 'refused' ? outcome.problems[0]?.message : '', why);
  });
}

void test('EnvironmentFile: Remove leaves just the policy', async (t) => {
  const before = 'KUBELET_OPTS="--allowed-unsafe-sysctls=kernel.sem,net.ipv4.* --v=2"\n';
  const plan = changeOf(planFor(await runningNode(opts(before)), { ...policy, existing: 'Remove' }));
  t.equal(plan.files[0]?.after, 'KUBELET_OPTS="--allowed-unsafe-sysctls=net.core.somaxconn --v=2"\n');
});
