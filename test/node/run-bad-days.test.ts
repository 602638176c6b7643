import { execa } from 'execa';
import { test } from 'tap';
import { policyPath, RunningAgent, webPolicy } from './run-agent.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;

void test('a bus that restarts is found again, and what happened meanwhile is seen', { skip }, async (t) => {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
  const agent = new RunningAgent(node);
  await agent.start();
  await agent.isIn('converged');
  await node.stopDBus();
  node.write('/etc/sysctl.d/50-touch.conf', '');
  await agent.isIn('blind');
  t.match(await agent.get('/readyz'), 'not seen');
  t.equal(
    await agent.get('/livez'),
    'ok\n'.trim(),
    'a bus that is away is nothing that a restart of the agent would mend',
  );
  await node.exec(['sh', '-c', 'echo 99 > /proc/sys/net/core/somaxconn']);
  t.equal(
    await agent.value('sysctl_agent_node_sysctl_drift{sysctl="net.core.somaxconn"}'),
    1,
    'sysctls are still told',
  );
  await node.startDBus();
  await agent.isIn('converged', 60_000);
  await agent.sees('watch_up{watch="systemd"}', 1);
  await node.systemctl('restart', 'kubelet');
  await agent.sees('kubelet_restarts_total{reason="other"}', 1);
});

void test('an agent that starts without a bus serves metrics and waits for it', { skip }, async (t) => {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
  await node.stopDBus();
  const agent = new RunningAgent(node);
  await agent.start();
  await agent.isIn('blind');
  t.ok(((await agent.value('sysctl_agent_errors_total{code="SYSTEMD_UNREACHABLE"}')) ?? 0) >= 1);
  await node.startDBus();
  await agent.isIn('converged', 60_000);
});

void test(
  'a unit that is masked, removed and back is refused with its reason, then healed',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('converged');
    const path = '/etc/systemd/system/kubelet.service';
    const unit = node.read(path).toString();

    await node.exec(['sh', '-c', `rm ${path} && systemctl daemon-reload`]);
    await agent.isIn('refused');
    t.equal(
      await agent.value('sysctl_agent_kubelet_allowlist_drift{layer="disk"}'),
      undefined,
      'unknown, not fine',
    );
    node.write(path, unit);
    await node.systemctl('daemon-reload');
    await agent.isIn('converged');

    await node.systemctl('mask', '--runtime', 'kubelet').catch(() => undefined);
    await node.exec(['sh', '-c', `rm ${path}; ln -sf /dev/null ${path}; systemctl daemon-reload`]);
    await agent.sees('refusal{code="UNIT_MASKED"}', 1);
    await node.exec(['sh', '-c', `rm -f ${path} /run/systemd/system/kubelet.service`]);
    node.write(path, unit);
    await node.systemctl('daemon-reload');
    await agent.isIn('converged');
  },
);

void test(
  'a unit that gets another name is refused as not found, and found again under its old one',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'quick', files: { [policyPath]: webPolicy } }, t);
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('converged');
    const directory = '/etc/systemd/system';
    const rename = async (from: string, to: string): Promise<void> => {
      const move = `systemctl stop ${from} && mv ${directory}/${from}.service ${directory}/${to}.service`;
      const { code, stderr } = await node.exec([
        'sh',
        '-c',
        `${move} && systemctl daemon-reload && systemctl start ${to}`,
      ]);
      t.equal(code, 0, stderr);
    };
    const applied = await agent.value('sysctl_agent_applies_total{result="committed"}');
    await rename('kubelet', 'my-kubelet');
    await agent.sees('refusal{code="UNIT_NOT_FOUND"}', 1);
    for (const layer of ['disk', 'loaded', 'process']) {
      const series = `sysctl_agent_kubelet_allowlist_drift{layer="${layer}"}`;
      t.equal(await agent.value(series), undefined, `${layer}: unknown, not fine`);
    }
    t.match(node.read(`${directory}/my-kubelet.service`).toString(), '--allowed-unsafe-sysctls=');

    await rename('my-kubelet', 'kubelet');
    await agent.isIn('converged');
    await agent.sees('refusal{code="UNIT_NOT_FOUND"}', undefined);
    t.equal(
      await agent.value('sysctl_agent_applies_total{result="committed"}'),
      applied,
      'nothing was to be done',
    );
  },
);

void test(
  'a drift that begins in the middle of a storm of scrapers is in every scrape after it',
  { skip },
  async (t) => {
    const policy = webPolicy.replace(', remediation: Write', '');
    const node = await bootNode({ layout: 'quick', files: { [policyPath]: policy } }, t);
    await node.exec(['sh', '-c', 'echo 1234 > /proc/sys/net/core/somaxconn']);
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('converged');
    const scrape = (mark: string): string =>
      `for i in $(seq 200); do { printf '${mark}%s\\n' "$(curl -s -m 60 http://127.0.0.1:9877/metrics | sed -n 's/.*node_sysctl_drift.sysctl="net.core.somaxconn". //p')"; } & done`;
    const storm = `${scrape('before')}; echo 99 > /proc/sys/net/core/somaxconn; ${scrape('after')}; wait`;
    const { stdout } = await node.exec(['bash', '-c', storm]);
    const told = stdout.trim().split('\n').sort();
    t.equal(told.filter((line) => /^before[01]$/.test(line)).length, 200, 'nobody went without an answer');
    t.strictSame(
      told.filter((line) => line.startsWith('after')),
      Array.from({ length: 200 }, () => 'after1'),
    );
    await agent.isIn('drifted');
  },
);

void test(
  'two hundred scrapers at once all see the drift, and the agent heals it all the same',
  { skip },
  async (t) => {
    const node = await bootNode(
      { layout: 'quick', files: { [policyPath]: webPolicy.replace(', remediation: Write', '') } },
      t,
    );
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('drifted');
    const storm = `for i in $(seq 200); do curl -s -m 30 http://127.0.0.1:9877/metrics | grep -c 'node_sysctl_drift{sysctl="net.core.somaxconn"} 1' & done; wait`;
    const { stdout } = await execa('nsenter', ['-t', String(node.pid), '-n', '--', 'bash', '-c', storm]);
    t.same(
      stdout.split('\n'),
      Array.from({ length: 200 }, () => '1'),
    );
    node.write(policyPath, webPolicy);
    await agent.isIn('converged');
  },
);

void test(
  'sysctls that are absent, write-only, huge, beyond int64 or come later spoil nothing',
  { skip },
  async (t) => {
    const policy = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata: { name: odd }
spec:
  sysctls:
    - { name: net.ipv4.route.flush, value: "0" }
    - { name: net.bogus.absent, value: "0" }
    - { name: net.ipv4.tcp_rmem, value: "1 2 3" }
    - { name: kernel.shmall, value: "18446744073692774399" }
    - { name: net.ipv4.conf.late0.forwarding, value: "0" }
    - { name: kernel.hostname, atLeast: "3" }
    - { name: net.ipv4.tcp_wmem, atLeast: "1 2 3" }
    - { name: net.ipv4.ip_local_port_range, atMost: "65535 1" }
    - { name: net.ipv4.ping_group_range, atLeast: "0" }
`;
    const node = await bootNode({ layout: 'quick', files: { [policyPath]: policy } }, t);
    const agent = new RunningAgent(node);
    await agent.start();
    await agent.isIn('drifted');
    const text = await agent.get('/metrics');
    const has = (line: string): void => {
      t.ok(`\n${text}\n`.includes(`\nsysctl_agent_${line}\n`), line);
    };
    has('node_sysctl_unreadable{sysctl="net.ipv4.route.flush",reason="writeOnly"} 1');
    has('node_sysctl_unreadable{sysctl="net.bogus.absent",reason="absent"} 1');
    has('node_sysctl_unreadable{sysctl="kernel.hostname",reason="incomparable"} 1');
    has('node_sysctl_drift{sysctl="net.ipv4.tcp_rmem"} 1');
    has('node_sysctl_drift{sysctl="net.ipv4.tcp_wmem"} 0');
    has('node_sysctl_drift{sysctl="net.ipv4.ip_local_port_range"} 1');
    has('node_sysctl_unreadable{sysctl="net.ipv4.ping_group_range",reason="incomparable"} 1');
    has('node_sysctl_drift{sysctl="kernel.shmall"} 0');
    has('node_sysctl_value{sysctl="kernel.shmall",index="0"} 18446744073692774399');
    t.notMatch(text, /node_sysctl_drift\{sysctl="net.bogus.absent"/, 'unknown is absent');
    t.match(text, /node_sysctl_value\{sysctl="net.ipv4.tcp_rmem",index="2"\} \d+/);

    const link = async (...words: readonly string[]) =>
      execa('nsenter', ['-t', String(node.pid), '-n', '--', 'ip', 'link', ...words]);
    await link('add', 'late0', 'type', 'bridge');
    await agent.sees('node_sysctl_drift{sysctl="net.ipv4.conf.late0.forwarding"}', 0);
    await link('delete', 'late0');
    await agent.sees('node_sysctl_drift{sysctl="net.ipv4.conf.late0.forwarding"}', undefined);
    await link('add', 'late0', 'type', 'bridge');
    await agent.sees('node_sysctl_drift{sysctl="net.ipv4.conf.late0.forwarding"}', 0);
  },
);

void test(
  'an agent stopped in the middle of a transaction leaves it to the next one',
  { skip },
  async (t) => {
    const node = await bootNode(
      { layout: 'quick', files: { [policyPath]: webPolicy.replace('1s', '5s') } },
      t,
    );
    const agent = new RunningAgent(node);
    await agent.start();
    await node.waitFor(
      () =>
        node.exists('/var/lib/kubelet-sysctl-agent/journal.json') &&
        node.read('/var/lib/kubelet-sysctl-agent/journal.json').includes('kubeletRestarted'),
      { what: 'probation' },
    );
    const { code } = await agent.end('TERM');
    t.equal(code, 0);
    t.match(
      node.read('/var/lib/kubelet-sysctl-agent/journal.json').toString(),
      'kubeletRestarted',
      'it does not wait for the transaction',
    );
    await agent.start();
    await agent.isIn('converged');
    t.match(await node.admit('net.core.somaxconn=512'), { admitted: true });
    t.ok(
      await agent.value(
        'sysctl_agent_last_transaction_end_timestamp_seconds{verdict="committed",by="agent"}',
      ),
    );
  },
);

void test('ten thousand entries are told, entry by entry, in every layer', { skip }, async (t) => {
  const entries = Array.from({ length: 10_000 }, (_, index) => `net.bogus.entry${index}`);
  const policy = `apiVersion: sysctl-agent.dev/v1alpha1\nkind: NodeSysctlPolicy\nmetadata: { name: many }\nspec:\n  kubelet:\n    allowedUnsafeSysctls:\n${entries.map((entry) => `      - ${entry}\n`).join('')}`;
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: policy } }, t);
  const agent = new RunningAgent(node);
  await agent.start('--dry-run');
  await agent.sees('kubelet_allowlist_drift{layer="process"}', 10_000, 60_000);
  t.equal(
    await agent.value('sysctl_agent_kubelet_allowlist_entry{entry="net.bogus.entry9999",layer="disk"}'),
    0,
  );
  t.equal(await agent.get('/livez'), 'ok');
});

void test('a clock that jumps moves no timer and makes no drift older than it is', { skip }, async (t) => {
  // The node shares this machine's clock: the jump is in what an earlier agent wrote down, an hour ahead of us.
  const node = await bootNode(
    { layout: 'quick', files: { [policyPath]: webPolicy.replace(', remediation: Write', '') } },
    t,
  );
  const agent = new RunningAgent(node);
  await agent.start();
  await agent.isIn('drifted');
  await agent.end('KILL');
  const path = '/var/lib/kubelet-sysctl-agent/drift.json';
  const kept = JSON.parse(node.read(path).toString()) as Record<string, unknown>;
  node.write(
    path,
    JSON.stringify({ ...kept, since: { 'sysctl/net.core.somaxconn': Date.now() + 3_600_000 } }),
  );
  await agent.start();
  await agent.isIn('drifted');
  const since = await agent.value(
    'sysctl_agent_drift_start_timestamp_seconds{kind="sysctl",name="net.core.somaxconn"}',
  );
  t.ok(since !== undefined && since <= Date.now() / 1000);
});
