import { rmSync } from 'node:fs';
import t from 'tap';
import { finishInterrupted, type RecoveryOutcome } from '../../../agent/engine/recover.ts';
import { applySteps } from '../../../agent/transaction/steps.ts';
import {
  type FakeNode,
  fakeNode,
  fakeNodeUnavailable,
  flag,
  unitFile,
  unitText,
  unitTextAfter,
} from '../../support/host/fake-node.ts';
import { apply, codeOf } from './support.ts';

const tier = { skip: fakeNodeUnavailable };
const points = applySteps
  .filter((step) => step !== 'writeSysctls')
  .flatMap((step) => [`before:${step}`, `after:${step}`]);

/** An apply whose agent dies at one exact point: nothing of it runs any more. */
async function diesAt(node: FakeNode, point: string): Promise<void> {
  await new Promise<void>((died) => {
    void apply(node, {
      report: node.report(async (reached) => {
        if (reached !== point) return;
        died();
        await new Promise(() => undefined);
      }),
    });
  });
}

async function finish(node: FakeNode, direction: 'any' | 'back' = 'any'): Promise<RecoveryOutcome> {
  return finishInterrupted(node.host, {
    healthz: { address: '127.0.0.1', port: 10248 },
    report: node.report(),
    signal: new AbortController().signal,
    direction,
  });
}

for (const point of points) {
  void t.test(
    `an agent that died ${point} is followed by one that ends its work, and applies`,
    tier,
    async (t) => {
      const node = await fakeNode(t);
      await diesAt(node, point);
      const outcome = await apply(node);
      t.match(outcome.kind, /^(committed|converged)$/);
      t.equal(node.read(unitFile), unitTextAfter);
      t.ok((await node.argv()).includes(flag));
      t.strictSame(node.litter(), []);
    },
  );

  void t.test(
    `an agent that died ${point} and nobody else: the watchdog puts everything back`,
    tier,
    async (t) => {
      const node = await fakeNode(t);
      await diesAt(node, point);
      await node.clock.sleep(3_600_000);
      const committed = point === 'after:commit';
      t.equal(node.read(unitFile), committed ? unitTextAfter : unitText);
      t.equal((await node.argv()).includes(flag), committed);
      t.equal((await node.systemd.observe('kubelet.service')).needDaemonReload, false);
    },
  );
}

void t.test('a kubelet that was restarted proves itself to the next agent', tier, async (t) => {
  const node = await fakeNode(t);
  await diesAt(node, 'after:restart');
  const outcome = await finish(node);
  t.equal(outcome.kind, 'committed');
  t.equal(node.read(unitFile), unitTextAfter);
  t.strictSame(node.litter(), []);
  t.equal(node.audit().at(-1)?.message, 'proven and committed after the agent was interrupted');
});

void t.test('there is no moment without a timer while the next agent watches', tier, async (t) => {
  const node = await fakeNode(t);
  await diesAt(node, 'after:restart');
  let fewest = Infinity;
  node.systemd.intercept((verb) => {
    if (verb === 'pulse' || verb === 'startTimer' || verb === 'stopTimer')
      fewest = Math.min(fewest, node.systemd.timers.size);
    // The end of the transaction takes the last one away.
    if (verb === 'stopTimer' && node.points.includes('after:observe'))
      node.systemd.intercept(() => undefined);
  });
  t.equal((await finish(node)).kind, 'committed');
  t.equal(fewest, 1);
  t.equal(node.systemd.timers.size, 0);
});

void t.test('a kubelet that fails the probation of the next agent is taken back', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet((argv) => (argv.includes(flag) ? { health: 'unhealthy' } : {}));
  await diesAt(node, 'after:restart');
  const outcome = await finish(node);
  t.equal(outcome.kind, 'rolledBack');
  t.equal(node.read(unitFile), unitText);
});

void t.test(
  'a command line that a crash of the kubelet started before it was proven is not committed unproven',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    await diesAt(node, 'before:reload');
    // Somebody else's edit, a reload by hand, and the kubelet that crashes: nobody has compared what systemd has loaded.
    node.write('/etc/systemd/system/kubelet.service.d/50-theirs.conf', '[Service]\nRestart=no\n');
    await node.systemd.daemonReload();
    node.systemd.restartNow();
    const outcome = await finish(node);
    t.equal(outcome.kind, 'rolledBack');
    t.equal(node.read(unitFile), unitText);
  },
);

void t.test(
  'an edit that somebody made before anything was written survives a roll-back that is taken up again',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    await diesAt(node, 'before:writeFiles');
    const { state } = node.host;
    const journal = await state.readJournal();
    // The agent that died had begun to go back, and its journal says no more than that.
    await state.claim(journal?.id ?? '', 'armed', 'reverting');
    if (journal !== undefined) await state.writeJournal({ ...journal, state: 'reverting' });
    const theirs = unitText.replace('192.0.2.10', '192.0.2.99');
    rmSync(`${node.root}${unitFile}`);
    node.write(unitFile, theirs);
    const outcome = await finish(node);
    t.equal(outcome.kind, 'rolledBack');
    t.equal(node.read(unitFile), theirs);
    t.strictSame(outcome.kind === 'rolledBack' && outcome.journal.verdict?.keptForeignFiles, []);
    t.strictSame(node.litter(), []);
  },
);

void t.test('a person who rolls back never goes forward', tier, async (t) => {
  const node = await fakeNode(t);
  await diesAt(node, 'after:observe');
  const outcome = await finish(node, 'back');
  t.equal(outcome.kind, 'rolledBack');
  t.equal(node.read(unitFile), unitText);
  t.notOk((await node.argv()).includes(flag));
  t.equal(node.audit().at(-1)?.by, 'person');
});

void t.test('a decided transaction is only written down', tier, async (t) => {
  const node = await fakeNode(t);
  await diesAt(node, 'before:commit');
  const journal = await node.host.state.readJournal();
  await node.host.state.claim(journal?.id ?? '', 'armed', 'committed');
  const calls = node.systemd.calls.filter((call) => call.startsWith('restart')).length;
  const outcome = await finish(node);
  t.equal(outcome.kind, 'committed');
  t.equal(node.systemd.calls.filter((call) => call.startsWith('restart')).length, calls);
});

void t.test(
  'a change that kills its agents is latched after the watchdog took it back twice',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await diesAt(node, 'after:restart');
      await node.clock.sleep(3_600_000);
    }
    const third = await apply(node);
    t.equal(third.recovered.kind, 'rolledBack');
    t.equal(third.kind, 'refused');
    t.equal(codeOf(third), 'PLAN_LATCHED');
    t.equal((await apply(node, { force: ['PLAN_LATCHED'] })).kind, 'committed');
  },
);

void t.test('a journal that cannot be read stops everything before it is touched', tier, async (t) => {
  const node = await fakeNode(t);
  node.write('/var/lib/kubelet-sysctl-agent/journal.json', '{"schema":1,');
  await t.rejects(apply(node), { code: 'JOURNAL_UNREADABLE' });
  t.equal(node.read(unitFile), unitText);
  t.strictSame(node.systemd.calls, []);
});
