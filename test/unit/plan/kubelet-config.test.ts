import { test } from 'tap';
import { changeOf, codesOf, type Files, planFor, policyOf, runningNode } from './support/node.ts';

const unit = '/etc/systemd/system/kubelet.service';
const main = '/var/lib/kubelet/config.yaml';
const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
const policy = policyOf(['net.core.somaxconn'], { placement: 'KubeletConfig' });
const node = (text: string, flags = ''): Files => ({
  [unit]: `[Service]\nExecStart=/usr/bin/kubelet --config=${main}${flags}\n`,
  [main]: text,
});

const texts: readonly [title: string, before: string, after: string][] = [
  [
    'no list yet',
    `${head}# dns\nclusterDNS:\n- 10.96.0.10\n`,
    `${head}# dns\nclusterDNS:\n- 10.96.0.10\nallowedUnsafeSysctls:\n- net.core.somaxconn\n`,
  ],
  [
    'lists that stand in',
    `${head}clusterDNS:\n  - 10.96.0.10 # one`,
    `${head}clusterDNS:\n  - 10.96.0.10 # one\nallowedUnsafeSysctls:\n  - net.core.somaxconn\n`,
  ],
  [
    'a block list',
    `${head}allowedUnsafeSysctls: # ours\n  - kernel.sem # db\nmaxPods: 3\n`,
    `${head}allowedUnsafeSysctls: # ours\n  - kernel.sem # db\n  - net.core.somaxconn\nmaxPods: 3\n`,
  ],
  [
    'a quoted block list',
    `${head}allowedUnsafeSysctls:\n- "kernel.sem"\n\n# end\n`,
    `${head}allowedUnsafeSysctls:\n- "kernel.sem"\n- "net.core.somaxconn"\n\n# end\n`,
  ],
  [
    'a list on one line',
    `${head}allowedUnsafeSysctls: [kernel.sem, 'net.ipv4.*']  # db\nmaxPods: 3\n`,
    `${head}allowedUnsafeSysctls: [kernel.sem, 'net.ipv4.*', 'net.core.somaxconn']  # db\nmaxPods: 3\n`,
  ],
  [
    'an empty list',
    `${head}allowedUnsafeSysctls: []\nmaxPods: 3\n`,
    `${head}allowedUnsafeSysctls: ["net.core.somaxconn"]\nmaxPods: 3\n`,
  ],
  [
    'an empty value',
    `${head}allowedUnsafeSysctls:\nmaxPods: 3\n`,
    `${head}allowedUnsafeSysctls: [net.core.somaxconn]\nmaxPods: 3\n`,
  ],
  [
    'JSON',
    '{\n  "kind": "KubeletConfiguration",\n  "apiVersion": "kubelet.config.k8s.io/v1beta1",\n  "maxPods": 3\n}\n',
    '{\n  "kind": "KubeletConfiguration",\n  "apiVersion": "kubelet.config.k8s.io/v1beta1",\n  "maxPods": 3,\n  "allowedUnsafeSysctls": ["net.core.somaxconn"]\n}\n',
  ],
  [
    'JSON on one line',
    '{"kind":"KubeletConfiguration","allowedUnsafeSysctls":["kernel.sem"],"maxPods":3}',
    '{"kind":"KubeletConfiguration","allowedUnsafeSysctls":["kernel.sem","net.core.somaxconn"],"maxPods":3}',
  ],
  [
    'a list in JSON over several lines',
    '{\n  "kind": "KubeletConfiguration",\n  "allowedUnsafeSysctls": [\n    "kernel.sem"\n  ]\n}\n',
    '{\n  "kind": "KubeletConfiguration",\n  "allowedUnsafeSysctls": [\n    "kernel.sem",\n    "net.core.somaxconn"\n  ]\n}\n',
  ],
  [
    'anchors elsewhere',
    `${head}a: &x [1, 2]\nb: *x\n...\n`,
    `${head}a: &x [1, 2]\nb: *x\nallowedUnsafeSysctls:\n- net.core.somaxconn\n...\n`,
  ],
  [
    'line ends of another system',
    `kind: KubeletConfiguration\r\nmaxPods: 3\r\n`,
    `kind: KubeletConfiguration\r\nmaxPods: 3\r\nallowedUnsafeSysctls:\r\n- net.core.somaxconn\r\n`,
  ],
];

for (const [title, before, after] of texts) {
  void test(`KubeletConfig: ${title}: nothing else changes`, async (t) => {
    const plan = changeOf(planFor(await runningNode(node(before)), policy));
    t.equal(plan.files[0]?.after, after);
    t.match(plan, { reload: false, restart: true, placement: { kind: 'KubeletConfig', path: main } });
    t.same(plan.expectation?.entries, [], 'the process shows no flag');
    t.same(plan.expectation?.commandAfter, plan.expectation?.commandBefore);
    t.equal(planFor(await runningNode(node(after)), policy).kind, 'converged');
  });
}

void test('KubeletConfig: Remove takes lines away with their comments and leaves the others', async (t) => {
  const before = `${head}allowedUnsafeSysctls:\n- kernel.sem # db\n# web\n- net/core/somaxconn\nmaxPods: 3\n`;
  const remove = { ...policy, existing: 'Remove' } as const;
  const plan = changeOf(planFor(await runningNode(node(before)), remove));
  t.equal(plan.files[0]?.after, `${head}allowedUnsafeSysctls:\n# web\n- net/core/somaxconn\nmaxPods: 3\n`);
  const emptied = changeOf(
    planFor(await runningNode(node(`${head}allowedUnsafeSysctls:\n- kernel.sem\nmaxPods: 3\n`)), {
      ...remove,
      allowedUnsafeSysctls: [],
    }),
  );
  t.equal(emptied.files[0]?.after, `${head}allowedUnsafeSysctls: []\nmaxPods: 3\n`);
});

void test('KubeletConfig is refused where a flag would hide it, with the way to move the flag', async (t) => {
  const outcome = planFor(await runningNode(node(head, ' --allowed-unsafe-sysctls=kernel.sem')), policy);
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  t.match(outcome.kind === 'refused' ? outcome.problems[0] : {}, {
    message: /kernel\.sem .* hides the list of every configuration file/,
    next: /take the flag out of \/etc\/systemd\/system\/kubelet\.service/,
  });
});

void test('KubeletConfig is refused where the list cannot be told apart from the rest', async (t) => {
  const shared = `${head}allowedUnsafeSysctls: &list [kernel.sem]\nother: *list\n`;
  const outcome = planFor(await runningNode(node(shared)), policy);
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  const none = planFor(
    await runningNode({ [unit]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\n' }),
    policy,
  );
  t.match(none.kind === 'refused' ? none.problems[0]?.message : '', 'without --config');
});

void test('KubeletConfig: a kubelet from 1.30 on with --config-dir gets a drop-in with the union', async (t) => {
  const files = {
    ...node(`${head}allowedUnsafeSysctls: [kernel.sem]\n`, ' --config-dir=/etc/kubelet.d'),
    '/etc/kubelet.d/20-team.conf': `${head}allowedUnsafeSysctls: [fs.mqueue.*]\n`,
  };
  const plan = changeOf(planFor(await runningNode(files), policy));
  const path = '/etc/kubelet.d/zz-kubelet-sysctl-agent.conf';
  t.same(
    plan.files.map((file) => [file.path, file.before]),
    [[path, null]],
  );
  t.match(
    plan.files[0]?.after,
    /apiVersion: kubelet\.config\.k8s\.io\/v1beta1\nkind: KubeletConfiguration\nallowedUnsafeSysctls:\n- fs\.mqueue\.\*\n- net\.core\.somaxconn\n$/,
  );
  t.same(
    plan.entries.after,
    ['fs.mqueue.*', 'net.core.somaxconn'],
    'the list of --config is hidden by the drop-in already',
  );

  const late = { ...files, '/etc/kubelet.d/zzz/last.conf': `${head}allowedUnsafeSysctls: [net.ipv4.*]\n` };
  t.same(codesOf(planFor(await runningNode(late), policy)), ['PLACEMENT_IMPOSSIBLE']);
  const old = await runningNode(files, { version: 'v1.29.1' });
  t.match(codesOf(planFor(old, policy)), ['PLACEMENT_IMPOSSIBLE'], 'the list of the drop-in hides the file');
});
