import { test } from 'tap';
import { changeOf, codesOf, type Files, image, planFor, policyOf, runningNode } from './support/node.ts';

const policy = policyOf(['net.core.somaxconn']);
const k3s = (exec = '/usr/local/bin/k3s server', files: Files = {}): Files => ({
  '/etc/systemd/system/k3s.service': `[Service]\nType=notify\nEnvironmentFile=-/etc/systemd/system/k3s.service.env\nExecStart=${exec}\n`,
  ...files,
});
const rke2 = (files: Files): Files => ({
  '/usr/local/lib/systemd/system/rke2-agent.service': '[Service]\nExecStart=/usr/local/bin/rke2 agent\n',
  ...files,
});
const own = '/etc/rancher/rke2/config.yaml';
const addition = 'allowed-unsafe-sysctls=net.core.somaxconn';

const lists: readonly [title: string, before: string, after: string][] = [
  [
    'a list of arguments',
    'cni: calico\nkubelet-arg:\n  - max-pods=70 # many\nnode-label: [a=b]\n',
    `cni: calico\nkubelet-arg:\n  - max-pods=70 # many\n  - ${addition}\nnode-label: [a=b]\n`,
  ],
  [
    'a flag with dashes',
    'kubelet-arg:\n- "--allowed-unsafe-sysctls=kernel.sem"\n- --max-pods=${x}\n',
    'kubelet-arg:\n- "--allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn"\n- --max-pods=${x}\n',
  ],
  ['a list on one line', 'kubelet-arg: [max-pods=70]\n', `kubelet-arg: [max-pods=70, ${addition}]\n`],
  [
    'a flag on one line',
    'kubelet-arg: [allowed-unsafe-sysctls=kernel.sem]\n',
    'kubelet-arg: ["allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn"]\n',
  ],
  ['a single text', 'kubelet-arg: max-pods=70\n', `kubelet-arg: [max-pods=70, ${addition}]\n`],
  ['no arguments yet', 'cni: calico # ours\n', `cni: calico # ours\nkubelet-arg:\n- ${addition}\n`],
  ['a file of comments', '# nothing yet\n', `# nothing yet\nkubelet-arg:\n- ${addition}\n`],
];

for (const [title, before, after] of lists) {
  void test(`rke2: ${title}`, async (t) => {
    const observed = await runningNode(rke2({ [own]: before }));
    const plan = changeOf(planFor(observed, policy));
    t.equal(plan.files[0]?.after, after);
    t.match(plan, {
      unit: 'rke2-agent.service',
      reload: false,
      restart: true,
      placement: { kind: 'DistributionConfig', path: own },
    });
    t.same(plan.expectation?.entries, [], 'the kubelet is no process of the unit');
    t.equal(planFor(await runningNode(rke2({ [own]: after })), policy).kind, 'converged');
  });
}

void test('rke2: later files replace a list, a key with + adds to it, and the last list that counts is edited', async (t) => {
  const d = `${own}.d`;
  const plan = changeOf(
    planFor(
      await runningNode(
        rke2({
          [own]: 'kubelet-arg: ["allowed-unsafe-sysctls=kernel.sem"]\n',
          [`${d}/10-team.yaml`]: 'kubelet-arg:\n- max-pods=70\n',
          [`${d}/20-db.yml`]: 'kubelet-arg+:\n- allowed-unsafe-sysctls=fs.mqueue.*\n',
          [`${d}/30-note.txt`]: 'kubelet-arg: []\n',
        }),
      ),
      policy,
    ),
  );
  t.same(plan.entries.inForce, ['fs.mqueue.*'], 'the first list is replaced whole');
  t.equal(plan.files[0]?.path, `${d}/20-db.yml`);
  t.equal(plan.files[0]?.after, 'kubelet-arg+:\n- allowed-unsafe-sysctls=fs.mqueue.*,net.core.somaxconn\n');
});

void test('rke2: a key with + adds to the lists before it', async (t) => {
  const files = {
    [own]: 'kubelet-arg: ["allowed-unsafe-sysctls=kernel.sem"]\n',
    [`${own}.d/20-db.yaml`]: 'kubelet-arg+:\n- allowed-unsafe-sysctls=fs.mqueue.*\n',
  };
  const plan = changeOf(planFor(await runningNode(rke2(files)), policy));
  t.same(plan.entries.inForce, ['kernel.sem', 'fs.mqueue.*']);
  t.same(plan.entries.after, ['kernel.sem', 'fs.mqueue.*', 'net.core.somaxconn']);
});

void test('k3s: what only the file allows is written into the unit too, in case the unit hides the file', async (t) => {
  const files = k3s('/usr/local/bin/k3s server --kubelet-arg=allowed-unsafe-sysctls=kernel.sem', {
    '/etc/rancher/k3s/config.yaml': 'kubelet-arg: [allowed-unsafe-sysctls=fs.mqueue.*]\n',
  });
  const plan = changeOf(planFor(await runningNode(files), policy));
  t.match(
    plan.files[0]?.after,
    '--kubelet-arg=allowed-unsafe-sysctls=kernel.sem,fs.mqueue.*,net.core.somaxconn\n',
  );
});

void test('rke2: Remove', async (t) => {
  const before =
    'kubelet-arg:\n- max-pods=70\n- allowed-unsafe-sysctls=kernel.sem\n- allowed-unsafe-sysctls=net.ipv4.*\n';
  const remove = { ...policy, existing: 'Remove' } as const;
  const plan = changeOf(
    planFor(await runningNode(rke2({ [own]: before })), { ...remove, allowedUnsafeSysctls: [] }),
  );
  t.equal(plan.files[0]?.after, 'kubelet-arg:\n- max-pods=70\n');
});

void test('k3s keeps the sysctls that its load balancer needs, which an argument of ours would drop', async (t) => {
  const plan = changeOf(planFor(await runningNode(k3s()), policy));
  t.same(
    plan.files.map(({ path, before, after }) => ({ path, before, after })),
    [
      {
        path: '/etc/rancher/k3s/config.yaml',
        before: null,
        after:
          'kubelet-arg:\n- allowed-unsafe-sysctls=net.ipv4.ip_forward,net.ipv6.conf.all.forwarding,net.core.somaxconn\n',
      },
    ],
  );
  const plus = { '/etc/rancher/k3s/config.yaml': 'kubelet-arg:\n- allowed-unsafe-sysctls+=kernel.sem\n' };
  const grown = changeOf(planFor(await runningNode(k3s(undefined, plus)), policy));
  t.equal(grown.files[0]?.after, 'kubelet-arg:\n- allowed-unsafe-sysctls+=kernel.sem,net.core.somaxconn\n');
  t.same(grown.entries.inForce, ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding', 'kernel.sem']);
});

void test('k3s: arguments on the command line of its unit are joined there', async (t) => {
  const files = k3s("/usr/local/bin/k3s \\\n    server \\\n\t'--kubelet-arg=max-pods=70' \\\n");
  const plan = changeOf(planFor(await runningNode(files), policy));
  t.match(plan.placement, { kind: 'Unit', path: '/etc/systemd/system/k3s.service' });
  t.ok(plan.reload);
  t.match(
    plan.files[0]?.after,
    "\t'--kubelet-arg=max-pods=70' \\\n\t--kubelet-arg=allowed-unsafe-sysctls=net.ipv4.ip_forward,net.ipv6.conf.all.forwarding,net.core.somaxconn \\\n",
  );
  const there = k3s('/usr/local/bin/k3s server --kubelet-arg allowed-unsafe-sysctls=kernel.sem');
  t.match(
    changeOf(planFor(await runningNode(there), policy)).files[0]?.after,
    '--kubelet-arg allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn\n',
  );
});

void test('k3s: another configuration file is found by flag and by environment', async (t) => {
  const byFlag = await runningNode(
    k3s('/usr/local/bin/k3s agent --config=/etc/k3s.yaml', { '/etc/k3s.yaml': 'a: b\n' }),
  );
  t.equal(changeOf(planFor(byFlag, policy)).files[0]?.path, '/etc/k3s.yaml');
  const byVariable = await runningNode(
    k3s(undefined, {
      '/etc/systemd/system/k3s.service.env': 'K3S_CONFIG_FILE=/srv/k3s.yaml\n',
      '/srv/k3s.yaml': 'a: b\n',
    }),
  );
  t.equal(changeOf(planFor(byVariable, policy)).files[0]?.path, '/srv/k3s.yaml');
});

void test('microk8s takes a line in its args file', async (t) => {
  const args = '/var/snap/microk8s/x1/args/kubelet';
  const files = (text: string): Files => ({
    '/etc/systemd/system/snap.microk8s.daemon-kubelite.service':
      '[Service]\nExecStart=/usr/bin/snap run microk8s.daemon-kubelite\n',
    '/var/snap/microk8s/current': { link: '/var/snap/microk8s/x1' },
    [args]: text,
  });
  const before = '--kubeconfig=${SNAP_DATA}/credentials/kubelet.config\n# mine\n--v=2\n';
  const plan = changeOf(planFor(await runningNode(files(before)), policy));
  t.equal(plan.unit, 'snap.microk8s.daemon-kubelite.service');
  t.same(
    plan.files.map(({ path, after }) => [path, after]),
    [[args, `${before}--${addition}\n`]],
  );
  const quoted = changeOf(
    planFor(await runningNode(files('--allowed-unsafe-sysctls="kernel.sem"\n--v=2')), policy),
  );
  t.equal(quoted.files[0]?.after, '--allowed-unsafe-sysctls="kernel.sem,net.core.somaxconn"\n--v=2');
  const removed = planFor(await runningNode(files('--allowed-unsafe-sysctls=kernel.sem\n--v=2\n')), {
    ...policy,
    existing: 'Remove',
    allowedUnsafeSysctls: [],
  });
  t.equal(changeOf(removed).files[0]?.after, '--v=2\n');
});

void test('distributions without a file of their own say what their own way is', async (t) => {
  const units: readonly [string, string, RegExp][] = [
    ['k0sworker.service', '/usr/local/bin/k0s worker', /kubelet-extra-args/],
    ['microshift.service', 'microshift run', /microshift\/config\.yaml/],
    ['snap.kubelet.daemon.service', '/usr/bin/snap run kubelet.daemon', /juju config/],
    ['origin-node.service', '/usr/bin/openshift start node', /kubeletArguments/],
  ];
  for (const [unit, exec, next] of units) {
    const observed = await runningNode({ [`/etc/systemd/system/${unit}`]: `[Service]\nExecStart=${exec}\n` });
    const outcome = planFor(observed, policy);
    t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
    t.match(outcome.kind === 'refused' ? outcome.problems[0]?.next : '', next, unit);
  }
});

void test('of several units the one that runs is taken, in an image the first', async (t) => {
  const files = {
    ...k3s(),
    '/etc/systemd/system/k3s-agent.service': '[Service]\nExecStart=/usr/local/bin/k3s agent\n',
  };
  t.equal((await image(files)).unit?.id, 'k3s.service');
  t.equal((await image(files, { unit: 'k3s-agent.service' })).unit?.id, 'k3s-agent.service');
  t.equal(
    (
      await image({
        ...files,
        '/usr/lib/systemd/system/kubelet.service': '[Service]\nExecStart=/usr/bin/kubelet\n',
      })
    ).unit?.id,
    'kubelet.service',
  );
});

void test('a masked kubelet.service does not hide a k3s that runs', async (t) => {
  const files = { ...k3s(), '/etc/systemd/system/kubelet.service': { link: '/dev/null' } };
  t.equal(changeOf(planFor(await runningNode(files), policy)).unit, 'k3s.service');
  t.same(codesOf(planFor(await image(files), policy)), ['UNIT_MASKED']);
});

void test('placements that a distribution does not have are refused', async (t) => {
  for (const placement of ['EnvironmentFile', 'KubeletConfig'] as const) {
    t.same(
      codesOf(planFor(await runningNode(k3s()), { ...policy, placement })),
      ['PLACEMENT_IMPOSSIBLE'],
      placement,
    );
  }
});
