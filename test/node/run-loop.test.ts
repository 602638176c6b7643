import { test } from 'tap';
import { policyPath, RunningAgent, webPolicy } from './run-agent.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;
const unitPath = '/etc/systemd/system/kubelet.service';
const somaxconn = 'node_sysctl_drift{sysctl="net.core.somaxconn"}';
const setSomaxconn = (value: number): string[] => [
  'sh',
  '-c',
  `echo ${value} > /proc/sys/net/core/somaxconn`,
];

void test('the agent brings a node to its policy, and heals what drifts', { skip }, async (t) => {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
  const agent = new RunningAgent(node, ['env', 'KSA_REQUESTED_BY=daemonset/agents']);
  await agent.start();
  await agent.isIn('converged');
  const audit = node.read('/var/lib/kubelet-sysctl-agent/audit.jsonl').toString().trim().split('\n');
  const line = { requestedBy: 'daemonset/agents', verdict: 'committed', by: 'agent' };
  t.match(
    audit.map((text): unknown => JSON.parse(text)),
    [
      { ...line, added: [], files: [{ path: '/etc/sysctl.d/zz-kubelet-sysctl-agent.conf' }] },
      { ...line, added: ['net.core.somaxconn'], files: [{ path: unitPath }] },
    ],
    'the node sysctls first, then the kubelet',
  );
  t.match(await node.admit('net.core.somaxconn=512'), { admitted: true });
  t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '1234\n');
  t.equal(await agent.value('sysctl_agent_kubelet_restarts_total{reason="apply"}'), 1);
  t.equal(await agent.get('/readyz'), 'ok');
  t.equal(await agent.get('/livez'), 'ok');

  await t.test('a sysctl that somebody writes is put right, without a restart', async (t) => {
    await node.exec(setSomaxconn(99));
    await agent.sees('applies_total{result="committed"}', 3);
    await agent.isIn('converged');
    t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '1234\n');
    t.equal(await agent.value('sysctl_agent_kubelet_restarts_total{reason="apply"}'), 1);
  });

  await t.test('a hand edit of the unit shows on disk, and is no stranger’s reload', async (t) => {
    const unit = node.read(unitPath).toString();
    node.write(unitPath, unit.replace(/ \\\n *--allowed-unsafe-sysctls=\S+/, ''));
    await agent.sees('kubelet_allowlist_drift{layer="disk"}', 1);
    await agent.sees('refusal{code="UNIT_NEEDS_RELOAD"}', 1);
    t.equal(await agent.value('sysctl_agent_kubelet_allowlist_drift{layer="loaded"}'), 0);
    t.equal(await agent.value('sysctl_agent_kubelet_allowlist_drift{layer="process"}'), 0);
    t.equal(await agent.value('sysctl_agent_kubelet_needs_reload'), 1);

    await node.systemctl('daemon-reload');
    await agent.isIn('converged');
    t.match(node.read(unitPath).toString(), '--allowed-unsafe-sysctls=net.core.somaxconn');
    t.equal(
      await agent.value('sysctl_agent_kubelet_restarts_total{reason="apply"}'),
      1,
      'the process never lost its flag',
    );
  });

  await t.test('a kubelet restarted by somebody else is counted, and nothing else happens', async () => {
    await node.systemctl('restart', 'kubelet');
    await agent.sees('kubelet_restarts_total{reason="other"}', 1);
    await agent.isIn('converged');
  });

  const { code, log } = await agent.end('TERM');
  t.equal(code, 0);
  const lines = log
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  t.match(lines.at(-1), { event: 'stopped' }, 'every line is JSON');
});

void test('a dry run reports and touches nothing', { skip }, async (t) => {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
  const unit = node.read(unitPath).toString();
  const agent = new RunningAgent(node);
  await agent.start('--dry-run');
  await agent.isIn('drifted');
  await node.exec(setSomaxconn(77));
  await agent.sees('node_sysctl_value{sysctl="net.core.somaxconn",index="0"}', 77);
  t.equal(await agent.value(`sysctl_agent_${somaxconn}`), 1);
  t.equal(await agent.value('sysctl_agent_kubelet_allowlist_drift{layer="process"}'), 1);
  t.equal(
    await agent.value('sysctl_agent_kubelet_allowlist_entry{entry="net.core.somaxconn",layer="process"}'),
    0,
  );
  t.equal(node.read(unitPath).toString(), unit);
  t.equal(await agent.value('sysctl_agent_applies_total{result="committed"}'), 0);
});

void test('since when a node drifts survives SIGKILL and a restart of the agent', { skip }, async (t) => {
  const policy = webPolicy.replace(', remediation: Write', '');
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: policy } }, t);
  const since = 'sysctl_agent_drift_start_timestamp_seconds{kind="sysctl",name="net.core.somaxconn"}';
  const agent = new RunningAgent(node);
  await agent.start();
  await agent.sees('kubelet_allowlist_drift{layer="process"}', 0);
  await agent.isIn('drifted');
  const began = await agent.value(since);
  t.ok(began !== undefined && began > 1_700_000_000);
  await agent.end('KILL');
  await agent.start();
  await agent.isIn('drifted');
  t.equal(await agent.value(since), began);
  await node.exec(setSomaxconn(1234));
  await agent.isIn('converged');
  t.equal(await agent.value(since), undefined);
});

void test(
  'an invalid policy leaves the last good one in force, and a mounted ConfigMap may be swapped',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'quick', files: { '/etc/cm/..first/policy.yaml': webPolicy } }, t);
    await node.exec([
      'sh',
      '-c',
      'cd /etc/cm && ln -s ..first ..data && ln -s ..data/policy.yaml policy.yaml && ln -s /etc/cm /etc/ksa',
    ]);
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('converged');
    const swap = async (name: string, text: string): Promise<void> => {
      node.write(`/etc/cm/..${name}/policy.yaml`, text);
      await node.exec(['sh', '-c', `cd /etc/cm && ln -s ..${name} ..data_tmp && mv -T ..data_tmp ..data`]);
    };

    await swap('second', 'kind: NodeSysctlPolicy\nspec: {');
    await agent.sees('policy_valid', 0);
    await node.exec(setSomaxconn(99));
    await agent.sees('applies_total{result="committed"}', 3);
    t.equal(
      (await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout,
      '1234\n',
      'healed by the last good policy',
    );

    await swap('third', webPolicy.replace('"1234"', '"2345"'));
    await agent.sees('policy_valid', 1);
    await agent.sees('node_sysctl_value{sysctl="net.core.somaxconn",index="0"}', 2345);
    await agent.isIn('converged');
  },
);

void test('what keeps being undone is given up, and the rest is still healed', { skip }, async (t) => {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
  // Three heals within the window, a minute ago, by an agent that is gone.
  const agent = new RunningAgent(node);
  await agent.start();
  await agent.isIn('converged');
  await agent.end('KILL');
  const path = '/var/lib/kubelet-sysctl-agent/drift.json';
  const kept = JSON.parse(node.read(path).toString()) as Record<string, unknown>;
  const ago = (seconds: number): number => Date.now() - seconds * 1000;
  node.write(path, JSON.stringify({ ...kept, heals: { kubelet: [], sysctls: [ago(90), ago(60), ago(30)] } }));
  await node.exec(setSomaxconn(99));
  await agent.start();
  await agent.isIn('fighting');
  t.equal(await agent.value(`sysctl_agent_${somaxconn}`), 1);
  t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '99\n');

  const unit = node.read(unitPath).toString();
  node.write(unitPath, unit.replace(/ \\\n *--allowed-unsafe-sysctls=\S+/, ''));
  await node.systemctl('daemon-reload');
  await agent.sees('applies_total{result="committed"}', 1);
  t.match(node.read(unitPath).toString(), '--allowed-unsafe-sysctls=net.core.somaxconn');
  t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '99\n');

  node.write(policyPath, webPolicy.replace('"1234"', '"4321"'));
  await agent.isIn('converged');
  t.equal(
    (await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout,
    '4321\n',
    'a new policy is a new try',
  );
});
