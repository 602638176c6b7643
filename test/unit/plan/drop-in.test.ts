import { test } from 'tap';
import { changeOf, codesOf, planFor, policyOf, runningNode } from './support/node.ts';

const vendor = '/usr/lib/systemd/system/kubelet.service';
const ours = '/etc/systemd/system/kubelet.service.d/zz-kubelet-sysctl-agent.conf';
const header = `# Written by kubelet-sysctl-agent: the kubelet's own command line and one flag more.
# Made anew when the command below it changes; "kubelet-sysctl-agent rollback" takes it away.
[Service]
ExecStart=
`;

void test("a vendor's unit gets a drop-in of ours with its command as it is written", async (t) => {
  const observed = await runningNode({
    [vendor]:
      '[Service]\nExecStart=-/usr/bin/kubelet \\\n\t--v=2 \\\n# why\n\t"--node-labels=a b" $ARGS\nRestart=always\n',
  });
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'])));
  t.same(
    plan.files.map(({ path, before, after }) => ({ path, before, after })),
    [
      {
        path: ours,
        before: null,
        after: `${header}ExecStart=-/usr/bin/kubelet \\\n\t--v=2 \\\n# why\n\t"--node-labels=a b" $ARGS \\\n\t--allowed-unsafe-sysctls=net.core.somaxconn\n`,
      },
    ],
  );
  t.same(plan.expectation?.dropInPathsAfter, [ours]);
  t.match(plan.placement, {
    kind: 'DropIn',
    why: `${vendor} belongs to a package, whose upgrade would overwrite an edit`,
  });
});

void test('our drop-in grows in place, and goes when nothing is left to allow', async (t) => {
  const files = {
    [vendor]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\n',
    [ours]: `${header}ExecStart=/usr/bin/kubelet --v=2 --allowed-unsafe-sysctls=kernel.sem\n`,
  };
  const observed = await runningNode(files);
  const grown = changeOf(planFor(observed, policyOf(['net.core.somaxconn'])));
  t.equal(
    grown.files[0]?.after,
    `${header}ExecStart=/usr/bin/kubelet --v=2 --allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn\n`,
  );
  t.equal(grown.placement?.why, 'our drop-in is there already');
  const gone = changeOf(planFor(observed, policyOf([], { existing: 'Remove' })));
  t.same(
    gone.files.map(({ path, after }) => ({ path, after })),
    [{ path: ours, after: null }],
  );
  t.same(gone.expectation?.commandAfter.argv, ['/usr/bin/kubelet', '--v=2']);
});

void test('our drop-in goes when what it hides gives the wanted list, and only then', async (t) => {
  const files = {
    [vendor]: '[Service]\nExecStart=/usr/bin/kubelet --config=/k.yaml\n',
    [ours]: `${header}ExecStart=/usr/bin/kubelet --config=/k.yaml --allowed-unsafe-sysctls=kernel.msgmax,kernel.sem\n`,
    '/k.yaml': 'kind: KubeletConfiguration\nallowedUnsafeSysctls: [kernel.msgmax]\n',
  };
  const after = async (wanted: readonly string[]) =>
    changeOf(planFor(await runningNode(files), policyOf(wanted, { existing: 'Remove' }))).files[0]?.after;
  t.equal(await after(['kernel.msgmax']), null);
  t.equal(
    await after([]),
    `${header}ExecStart=/usr/bin/kubelet --config=/k.yaml --allowed-unsafe-sysctls=\n`,
    'an empty flag hides the list of the file',
  );
});

void test('our drop-in is made anew when the command below it changes, entries or not', async (t) => {
  const files = {
    [vendor]: '[Service]\nExecStart=/usr/bin/kubelet --v=4 --new-flag=yes\n',
    [ours]: `${header}ExecStart=/usr/bin/kubelet --v=2 --allowed-unsafe-sysctls=kernel.sem\n`,
  };
  const plan = changeOf(planFor(await runningNode(files), policyOf(['kernel.sem'])));
  t.equal(
    plan.files[0]?.after,
    `${header}ExecStart=/usr/bin/kubelet --v=4 --new-flag=yes --allowed-unsafe-sysctls=kernel.sem\n`,
  );
  t.ok(plan.restart);
  t.same(plan.entries.added, []);
  const other = planFor(await runningNode(files), policyOf(['kernel.sem'], { placement: 'Unit' }));
  t.equal(other.kind, 'converged', 'a policy that asks for another placement does not touch it');
});

void test('a drop-in that is only written otherwise is left alone', async (t) => {
  const files = {
    [vendor]: '[Service]\nExecStart=/usr/bin/kubelet   --v=2\n',
    [ours]: `# an older header\n[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=2 --allowed-unsafe-sysctls=kernel.sem\n`,
  };
  t.equal(planFor(await runningNode(files), policyOf(['kernel.sem'])).kind, 'converged');
});

void test('a drop-in that would be read before another one that sets the command is refused', async (t) => {
  const later = '/run/systemd/system/kubelet.service.d/zzz-late.conf';
  const files = {
    [vendor]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\n',
    [later]: '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=3\n',
  };
  const outcome = planFor(await runningNode(files), policyOf(['net.core.somaxconn']));
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  t.match(outcome.kind === 'refused' ? outcome.problems[0]?.message : '', later);
});

void test('units that live outside of /etc get a drop-in, whatever their path looks like', async (t) => {
  const text = '[Service]\nExecStart=/opt/k8s/kubelet --v=2\n';
  const linked = {
    '/etc/systemd/system/kubelet.service': { link: '/opt/k8s/kubelet.service' },
    '/opt/k8s/kubelet.service': text,
  };
  const runtime = { '/run/systemd/system/kubelet.service': text };
  const generated = { '/run/systemd/generator/kubelet.service': text };
  for (const files of [linked, runtime, generated]) {
    const plan = changeOf(planFor(await runningNode(files), policyOf(['net.core.somaxconn'])));
    t.equal(
      plan.files[0]?.after,
      `${header}ExecStart=/opt/k8s/kubelet --v=2 --allowed-unsafe-sysctls=net.core.somaxconn\n`,
    );
    const unit = planFor(await runningNode(files), policyOf(['net.core.somaxconn'], { placement: 'Unit' }));
    t.same(codesOf(unit), ['PLACEMENT_IMPOSSIBLE']);
  }
});

void test('a directory of drop-ins that is a link to somewhere else is not written into', async (t) => {
  const observed = await runningNode(
    { [vendor]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\n' },
    // systemd names drop-ins with the links of directories followed.
    { loaded: { dropInPaths: ['/opt/kubelet.d/10-restart.conf'] } },
  );
  const outcome = planFor({ ...observed, unreadable: [] }, policyOf(['net.core.somaxconn']));
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  t.match(outcome.kind === 'refused' && outcome.problems[0]?.message, /is a link to that directory/);
});

void test('a file that is read for other units as well is not edited for one of them', async (t) => {
  const cases = [
    ['kubelet@blue.service', '/etc/systemd/system/kubelet@.service'],
    ['kubelet-main.service', '/etc/systemd/system/kubelet-.service.d/20-command.conf'],
    ['kubelet.service', '/etc/systemd/system/service.d/20-command.conf'],
  ] as const;
  for (const [unit, holder] of cases) {
    const text = '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=2\n';
    const fragment = { [`/usr/lib/systemd/system/${unit}`]: '[Service]\nExecStart=/usr/bin/kubelet\n' };
    const files = holder.endsWith('@.service') ? {} : fragment;
    const observed = await runningNode({ ...files, [holder]: text }, { unit });
    const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'], { unit })));
    t.same(
      plan.files.map(({ path }) => path),
      [`/etc/systemd/system/${unit}.d/zz-kubelet-sysctl-agent.conf`],
      holder,
    );
    t.equal(plan.placement?.why, `${holder} is read for other units as well`);
  }
});
