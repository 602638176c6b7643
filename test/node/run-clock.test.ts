import { existsSync, globSync, readFileSync } from 'node:fs';
import { type Test, test } from 'tap';
import { policyPath, RunningAgent, webPolicy } from './run-agent.ts';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

// A node shares this machine's clock, so it is the agent alone whose clock is set: by Debian's package libfaketime.
const library =
  process.env['LIBFAKETIME'] ?? globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')[0] ?? '/nonexistent';
const skip =
  nodeTierUnavailable() ?? (existsSync(library) ? false : 'needs libfaketime (or LIBFAKETIME=/path/to/it)');

const offsetFile = '/run/faketime';
const setSomaxconn = ['sh', '-c', 'echo 99 > /proc/sys/net/core/somaxconn'];
const since = 'sysctl_agent_drift_start_timestamp_seconds{kind="sysctl",name="net.core.somaxconn"}';
const hourS = 3600;

/** An agent whose wall clock, and nothing else, is this far from everybody else's. */
async function start(t: Test, policy: string): Promise<{ node: TestNode; agent: RunningAgent }> {
  const node = await bootNode({ layout: 'quick', files: { [policyPath]: policy } }, t);
  node.write('/opt/faketime.so', readFileSync(library), 0o755);
  jump(node, 0);
  const settings = [
    'LD_PRELOAD=/opt/faketime.so',
    `FAKETIME_TIMESTAMP_FILE=${offsetFile}`,
    'FAKETIME_NO_CACHE=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
  ];
  const agent = new RunningAgent(node, ['env', ...settings]);
  await agent.start();
  return { node, agent };
}

function jump(node: TestNode, hours: number): void {
  node.write(offsetFile, `${hours < 0 ? '' : '+'}${hours * hourS}\n`);
}

async function inProbation(node: TestNode, entry: string): Promise<void> {
  const path = '/var/lib/kubelet-sysctl-agent/journal.json';
  await node.waitFor(
    () =>
      node.exists(path) && node.read(path).includes('kubeletRestarted') && node.read(path).includes(entry),
    { what: `probation of ${entry}` },
  );
}

void test('a clock set in the middle of a probation neither ends nor stretches it', { skip }, async (t) => {
  const policy = webPolicy.replace('probation: 1s', 'probation: 4s');
  const { node, agent } = await start(t, policy);
  const committed = 'sysctl_agent_applies_total{result="committed"}';
  const took = 'sysctl_agent_apply_duration_seconds_sum';

  await inProbation(node, 'net.core.somaxconn');
  jump(node, 2);
  await agent.isIn('converged', 40_000);
  t.equal(await agent.value(committed), 2, 'the node sysctls and the kubelet');
  const first = (await agent.value(took)) ?? 0;
  t.ok(first >= 4 && first < 40, `${first} s`);

  node.write(
    policyPath,
    policy.replace('[net.core.somaxconn]', '[net.core.somaxconn, net.ipv4.tcp_mtu_probing]'),
  );
  await inProbation(node, 'tcp_mtu_probing');
  jump(node, -3);
  await agent.sees('applies_total{result="committed"}', 3, 40_000);
  const second = ((await agent.value(took)) ?? 0) - first;
  t.ok(second >= 4 && second < 40, `${second} s`);
  t.equal(await agent.value('sysctl_agent_applies_total{result="rolledBack"}'), 0);
  t.match(await node.admit('net.ipv4.tcp_mtu_probing=1'), { admitted: true });
});

void test(
  'a clock set while something drifts: since when is kept, and never lies ahead',
  { skip },
  async (t) => {
    const { node, agent } = await start(t, webPolicy.replace(', remediation: Write', ''));
    await agent.isIn('drifted', 40_000);
    const began = (await agent.value(since)) ?? 0;
    t.ok(Math.abs(began - Date.now() / 1000) < 60);
    const lookAgain = async (): Promise<void> => {
      const seen = await agent.value('sysctl_agent_last_observation_timestamp_seconds');
      node.write('/etc/sysctl.d/50-touch.conf', `# ${Math.random()}\n`);
      await node.waitFor(
        async () => (await agent.value('sysctl_agent_last_observation_timestamp_seconds')) !== seen,
        { what: 'another look' },
      );
    };

    jump(node, 5);
    await lookAgain();
    t.equal(await agent.value(since), began, 'forwards: it still began when it began');
    jump(node, -5);
    await node.waitFor(
      async () => {
        await lookAgain();
        return ((await agent.value(since)) ?? 0) <= Date.now() / 1000 - 4 * hourS;
      },
      { what: 'the beginning to be in the past of the new clock' },
    );
    const moved = (await agent.value(since)) ?? 0;
    jump(node, 0);
    await lookAgain();
    t.equal(await agent.value(since), moved, 'and is not moved forwards again');
    t.equal(await agent.get('/livez'), 'ok');
  },
);

void test('a clock set forwards does not make the agent forget that it is fought', { skip }, async (t) => {
  const { node, agent } = await start(t, webPolicy);
  await agent.isIn('converged', 40_000);
  await agent.end('KILL');
  const kept = '/var/lib/kubelet-sysctl-agent/drift.json';
  const ago = (seconds: number): number => Date.now() - seconds * 1000;
  const heals = { kubelet: [], sysctls: [ago(90), ago(60), ago(30)] };
  node.write(kept, JSON.stringify({ ...(JSON.parse(node.read(kept).toString()) as object), heals }));
  await node.exec(setSomaxconn);
  await agent.start();
  await agent.isIn('fighting');
  jump(node, 10);
  const path = '/etc/sysctl.d/50-touch.conf';
  const seen = (await agent.value('sysctl_agent_last_observation_timestamp_seconds')) ?? 0;
  node.write(path, '# noticed\n');
  await node.waitFor(
    async () =>
      ((await agent.value('sysctl_agent_last_observation_timestamp_seconds')) ?? 0) > seen + 9 * hourS,
    { what: 'a look by the new clock' },
  );
  t.equal(await agent.value('sysctl_agent_state{state="fighting"}'), 1);
  t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '99\n');
});
