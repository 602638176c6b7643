import t from 'tap';
import { chaosNode, nodeTierUnavailable } from './support.ts';
import type { ChaosNode } from './support.ts';
import type { Order } from './agent-under-test.ts';

const unavailable = nodeTierUnavailable();
const tier = { skip: unavailable ?? false, timeout: 120_000 };
const unit = '/etc/systemd/system/kubelet.service';

/** Runs an apply up to a point, does something to the node there, and lets it go on. */
async function meanwhile(
  chaos: ChaosNode,
  pauseAt: string,
  act: () => Promise<void>,
  order: Partial<Order> = {},
): Promise<{
  outcome: {
    kind: string;
    problem?: { code: string; message: string };
    problems?: { code: string }[];
    journal?: { verdict?: { by: string; keptForeignFiles?: string[] } };
  };
  text: string;
}> {
  const running = await chaos.start({ pauseAt, ...order });
  await chaos.node.waitFor(() => running.stdout().includes('paused'), {
    what: `the agent to pause ${pauseAt}`,
    deadlineMs: 20_000,
    explain: async () => Promise.resolve(`${running.stdout()}${running.stderr()}`),
  });
  await act();
  chaos.node.write('/run/go-on', '');
  const { stdout, stderr } = await running.result;
  const last = stdout.trim().split('\n').at(-1) ?? '{}';
  return {
    ...(JSON.parse(last) as { outcome: { kind: string } }),
    text: `${/"seen":.*/.exec(stdout)?.[0] ?? stdout.slice(-500)}${stderr}`,
  };
}

void t.test('a full disk is a refusal that touches nothing', tier, async (t) => {
  const chaos = await chaosNode(t);
  chaos.node.fillDisk();
  const refused = await chaos.run({});
  t.match(refused.outcome?.kind, /^(refused|threw)$/, refused.text);
  chaos.node.emptyDisk();
  const found = await chaos.find();
  t.equal(found.file, 'old');
  t.equal(found.process, 'old');
  const again = await chaos.run({});
  t.equal(again.outcome?.kind, 'committed', again.text);
  t.strictSame(await chaos.find(), { file: 'new', process: 'new', litter: [] });
});

void t.test('a disk that fills up before the unit is written leaves the old unit', tier, async (t) => {
  const chaos = await chaosNode(t);
  const { outcome, text } = await meanwhile(chaos, 'before:writeFiles', async () =>
    Promise.resolve(chaos.node.fillDisk()),
  );
  t.equal(outcome.kind, 'refused', text);
  chaos.node.emptyDisk();
  const found = await chaos.find();
  t.equal(found.file, 'old');
  t.equal(found.process, 'old');
});

void t.test(
  'a disk that fills up after the unit was written does not stop the roll-back of a kubelet that fails',
  tier,
  async (t) => {
    const chaos = await chaosNode(t, { faults: ['with-flag:exit-at-once'] });
    const { outcome, text } = await meanwhile(chaos, 'before:restart', async () =>
      Promise.resolve(chaos.node.fillDisk()),
    );
    t.match(outcome.kind, /^(rolledBack|broken)$/, text);
    await chaos.node.waitForKubelet();
    const found = await chaos.find();
    t.equal(found.file, 'old');
    t.equal(found.process, 'old');
  },
);

void t.test('a read-only /etc is refused', tier, async (t) => {
  const chaos = await chaosNode(t);
  const undo = await chaos.node.makeReadOnly('/etc');
  const refused = await chaos.run({});
  t.equal(refused.outcome?.kind, 'refused', refused.text);
  t.equal(refused.outcome?.problems?.[0]?.code, 'NODE_READ_ONLY');
  await undo();
  t.equal((await chaos.find()).process, 'old');
});

void t.test('without the bus there is no apply', tier, async (t) => {
  const chaos = await chaosNode(t);
  await chaos.node.stopDBus();
  const refused = await chaos.run({});
  t.equal(refused.outcome?.problem?.code, 'SYSTEMD_UNREACHABLE', refused.text);
  await chaos.node.startDBus();
  t.strictSame(await chaos.find(), { file: 'old', process: 'old', litter: [] });
});

for (const pauseAt of ['before:reload', 'before:restart', 'before:observe']) {
  void t.test(
    `the bus goes away ${pauseAt}: the watchdog of the host takes the change back`,
    tier,
    async (t) => {
      const chaos = await chaosNode(t);
      const { outcome, text } = await meanwhile(chaos, pauseAt, async () => chaos.node.stopDBus());
      t.equal(outcome.kind, 'rolledBack', text);
      t.equal(outcome.journal?.verdict?.by, 'watchdog');
      await chaos.node.startDBus();
      await chaos.node.waitForKubelet();
      const found = await chaos.find();
      t.equal(found.file, 'old');
      t.equal(found.process, 'old');
    },
  );
}

void t.test('a bus that is silent ends in a deadline and a roll-back', tier, async (t) => {
  const chaos = await chaosNode(t);
  const daemon = (await chaos.node.systemctl('show', '-P', 'MainPID', 'dbus.service')).trim();
  const { outcome, text } = await meanwhile(chaos, 'before:restart', async () => {
    await chaos.node.exec(['kill', '-STOP', daemon]);
  });
  await chaos.node.exec(['kill', '-CONT', daemon]);
  t.match(outcome.kind, /^(rolledBack|broken)$/, text);
  await chaos.node.waitForKubelet();
  const found = await chaos.find();
  t.equal(found.file, 'old');
  t.equal(found.process, 'old');
});

void t.test(
  'an edit by somebody else before the unit is written is kept, and nothing is done',
  tier,
  async (t) => {
    const chaos = await chaosNode(t);
    const edited = chaos.before.replace('node-ip=192.0.2.10', 'node-ip=192.0.2.99');
    const { outcome, text } = await meanwhile(chaos, 'before:writeFiles', async () =>
      Promise.resolve(chaos.node.write(unit, edited)),
    );
    t.equal(outcome.kind, 'refused', text);
    t.equal(outcome.problems?.[0]?.code, 'FILE_CHANGED');
    t.equal(chaos.node.read(unit).toString(), edited, 'their edit is theirs');
    t.equal((await chaos.find()).process, 'old');
  },
);

void t.test(
  'an edit by somebody else after ours is noticed before the restart, and a copy of it is kept',
  tier,
  async (t) => {
    const chaos = await chaosNode(t);
    const edited = chaos.before.replace('node-ip=192.0.2.10', 'node-ip=192.0.2.99');
    const { outcome, text } = await meanwhile(chaos, 'before:reload', async () =>
      Promise.resolve(chaos.node.write(unit, edited)),
    );
    t.equal(outcome.kind, 'rolledBack', text);
    t.equal(outcome.problem?.code, 'PROOF_FAILED');
    t.strictSame(outcome.journal?.verdict?.keptForeignFiles, [unit]);
    const found = await chaos.find();
    t.equal(found.process, 'old');
    const kept = await chaos.node.exec(['sh', '-c', 'cat /var/lib/kubelet-sysctl-agent/backup/*/0.found']);
    t.equal(kept.stdout, edited);
  },
);

void t.test(
  'a configuration that somebody breaks between the plan and the restart is not started',
  tier,
  async (t) => {
    const chaos = await chaosNode(t);
    const config = '/etc/kubernetes/kubelet.yaml';
    const pid = await chaos.node.property('MainPID');
    const { outcome, text } = await meanwhile(chaos, 'before:restart', async () =>
      Promise.resolve(chaos.node.write(config, 'kind: [torn')),
    );
    t.equal(outcome.kind, 'rolledBack', text);
    t.equal(outcome.problem?.code, 'FILE_CHANGED');
    t.equal(await chaos.node.property('MainPID'), pid, 'the kubelet runs on, and was never in danger');
    t.equal(chaos.node.read(config).toString(), 'kind: [torn', 'their edit is theirs');
    t.strictSame(await chaos.find(), { file: 'old', process: 'old', litter: [] });
  },
);

void t.test(
  'a watchdog that fires while the agent is about to commit wins, and the agent says so',
  tier,
  async (t) => {
    const chaos = await chaosNode(t);
    const { outcome, text } = await meanwhile(chaos, 'before:commit', async () => chaos.fireWatchdog());
    t.equal(outcome.kind, 'rolledBack', text);
    t.equal(outcome.journal?.verdict?.by, 'watchdog');
    await chaos.node.waitForKubelet();
    t.strictSame(await chaos.find(), { file: 'old', process: 'old', litter: [] });
  },
);

void t.test('a second agent is kept out while the first one is at work', tier, async (t) => {
  const chaos = await chaosNode(t);
  const { outcome } = await meanwhile(chaos, 'before:reload', async () => {
    const second = await chaos.run({});
    t.equal(second.outcome?.problem?.code, 'TRANSACTION_RUNNING', second.text);
  });
  t.equal(outcome.kind, 'committed');
});
