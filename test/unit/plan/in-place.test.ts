import { test } from 'tap';
import { changeOf, planFor, policyOf, runningNode } from './support/node.ts';

const path = '/etc/systemd/system/kubelet.service';
const entries = ['net.core.somaxconn'];

// Title, unit before, unit after; a node where KUBELET_OLD holds a flag already.
const cases: readonly [title: string, before: string, after: string][] = [
  [
    'one flag a line stays one flag a line',
    '[Service]\nExecStart=/usr/bin/kubelet \\\n  --v=2 \\\n  --x=1\nRestart=always\n',
    '[Service]\nExecStart=/usr/bin/kubelet \\\n  --v=2 \\\n  --x=1 \\\n  --allowed-unsafe-sysctls=net.core.somaxconn\nRestart=always\n',
  ],
  [
    'a backslash on the last line keeps its blank lines',
    '[Service]\nExecStart=/opt/hyperkube kubelet \\\n  --v=2 \\\n\n\nRestart=always\n',
    '[Service]\nExecStart=/opt/hyperkube kubelet \\\n  --v=2 \\\n  --allowed-unsafe-sysctls=net.core.somaxconn \\\n\n\nRestart=always\n',
  ],
  [
    'a flag that stands there is extended in its own quotes',
    `[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls='kernel.sem,net.ipv4.*' --v=2\n`,
    `[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls='kernel.sem,net.ipv4.*,net.core.somaxconn' --v=2\n`,
  ],
  [
    'a flag in the space form stays in the space form',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed_unsafe_sysctls kernel.sem $ARGS\n',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed_unsafe_sysctls kernel.sem,net.core.somaxconn $ARGS\n',
  ],
  [
    'an empty flag, which hides the list of a file, is filled',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls= --v=2\n',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=net.core.somaxconn --v=2\n',
  ],
  [
    'of two flags, which add up, the last one grows',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=kernel.sem --allowed-unsafe-sysctls=fs.mqueue.*\n',
    '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=kernel.sem --allowed-unsafe-sysctls=fs.mqueue.*,net.core.somaxconn\n',
  ],
  [
    'a flag in a variable stays there and is joined by one in the unit',
    '[Service]\nEnvironment="KUBELET_OLD=--allowed-unsafe-sysctls=kernel.sem"\nExecStart=/usr/bin/kubelet $KUBELET_OLD\n',
    '[Service]\nEnvironment="KUBELET_OLD=--allowed-unsafe-sysctls=kernel.sem"\nExecStart=/usr/bin/kubelet $KUBELET_OLD --allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn\n',
  ],
  [
    'prefixes and another argv[0] stay',
    '[Service]\nExecStart=-@/usr/bin/kubelet kubelet --v=2\n',
    '[Service]\nExecStart=-@/usr/bin/kubelet kubelet --v=2 --allowed-unsafe-sysctls=net.core.somaxconn\n',
  ],
  [
    'specifiers and percent signs stay as they are written',
    '[Service]\nExecStart=/usr/bin/kubelet --hostname-override=%H --eviction-hard=memory.available<5%% \\\n --x=7%\n',
    '[Service]\nExecStart=/usr/bin/kubelet --hostname-override=%H --eviction-hard=memory.available<5%% \\\n --x=7% \\\n --allowed-unsafe-sysctls=net.core.somaxconn\n',
  ],
  [
    'line ends of another system stay',
    '[Service]\r\nExecStart=/usr/bin/kubelet \\\r\n  --v=2\r\nRestart=always\r\n',
    '[Service]\r\nExecStart=/usr/bin/kubelet \\\r\n  --v=2 \\\r\n  --allowed-unsafe-sysctls=net.core.somaxconn\r\nRestart=always\r\n',
  ],
  [
    'a file without a last newline stays without one',
    '[Service]\nExecStart=/usr/bin/kubelet $KUBELET_OPTS',
    '[Service]\nExecStart=/usr/bin/kubelet $KUBELET_OPTS --allowed-unsafe-sysctls=net.core.somaxconn',
  ],
  [
    'only the last of several commands counts',
    '[Service]\nExecStart=/usr/bin/false\nExecStart=\nExecStart=/usr/bin/kubelet # --v=2\n',
    '[Service]\nExecStart=/usr/bin/false\nExecStart=\nExecStart=/usr/bin/kubelet # --v=2 --allowed-unsafe-sysctls=net.core.somaxconn\n',
  ],
];

for (const [title, before, after] of cases) {
  void test(`in the admin's unit ${title}`, async (t) => {
    const observed = await runningNode({ [path]: before });
    const outcome = planFor(observed, policyOf(entries));
    t.equal(changeOf(outcome).files[0]?.after, after);
    t.match(changeOf(outcome).placement, { kind: 'Unit', path });
    const again = await runningNode({ [path]: after });
    t.equal(planFor(again, policyOf(entries)).kind, 'converged', 'a second time there is nothing to do');
  });
}

void test('the file that holds the command is edited, be it the unit or a drop-in', async (t) => {
  const dropIn = `${path}.d/10-kubeadm.conf`;
  const observed = await runningNode({
    [path]: '[Service]\nExecStart=/usr/bin/kubelet\n',
    [dropIn]: '[Service]\nEnvironment="A=--v=2"\nExecStart=\nExecStart=/usr/bin/kubelet $A\n',
    [`${path}.d/20-limits.conf`]: '[Service]\nLimitNOFILE=1\n',
    [`${path}.d/kubelet.conf`]: 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n',
  });
  const plan = changeOf(planFor(observed, policyOf(entries)));
  t.equal(plan.files[0]?.path, dropIn);
  t.equal(
    plan.files[0]?.after,
    '[Service]\nEnvironment="A=--v=2"\nExecStart=\nExecStart=/usr/bin/kubelet $A --allowed-unsafe-sysctls=net.core.somaxconn\n',
  );
});

// The kubelet's own file allows kernel.msgmax where no flag stands. Title, wanted, ExecStart before, and after.
const overConfig: readonly [title: string, wanted: readonly string[], before: string, after: string][] = [
  [
    'an empty list leaves an empty flag, which hides the list of the file',
    [],
    '--allowed-unsafe-sysctls=kernel.sem --v=2',
    '--allowed-unsafe-sysctls= --v=2',
  ],
  [
    'an empty list leaves an empty flag in the space form',
    [],
    '--allowed-unsafe-sysctls kernel.sem --v=2',
    '--allowed-unsafe-sysctls "" --v=2',
  ],
  ['an empty list needs an empty flag where none stands', [], '--v=2', '--v=2 --allowed-unsafe-sysctls='],
  [
    "the file's own list needs no flag",
    ['kernel/msgmax'],
    '--allowed-unsafe-sysctls=kernel.msgmax,kernel.sem --v=2',
    '--v=2',
  ],
  [
    'another list takes the place of all flags',
    ['kernel.sem'],
    '--allowed-unsafe-sysctls=kernel.msgmax --allowed-unsafe-sysctls=kernel.sem --v=2',
    '--allowed-unsafe-sysctls=kernel.sem --v=2',
  ],
];

for (const [title, allowedUnsafeSysctls, before, after] of overConfig) {
  void test(`with existing: Remove, ${title}`, async (t) => {
    const policy = { ...policyOf(allowedUnsafeSysctls), existing: 'Remove' as const };
    const nodeWith = async (args: string) =>
      runningNode({
        [path]: `[Service]\nExecStart=/usr/bin/kubelet --config=/k.yaml ${args}\n`,
        '/k.yaml': 'kind: KubeletConfiguration\nallowedUnsafeSysctls: [kernel.msgmax]\n',
      });
    t.equal(
      changeOf(planFor(await nodeWith(before), policy)).files[0]?.after,
      `[Service]\nExecStart=/usr/bin/kubelet --config=/k.yaml ${after}\n`,
    );
    t.equal(planFor(await nodeWith(after), policy).kind, 'converged', 'a second time there is nothing to do');
  });
}
