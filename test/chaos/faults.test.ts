import t from 'tap';
import { atOnce, chaosNode, nodeTierUnavailable, realKubelet, sideBySide } from './support.ts';

const unavailable = nodeTierUnavailable();
const tier = { skip: unavailable ?? false, timeout: 600_000 };

const faults = [
  { fault: 'exit-at-once', code: /KUBELET_(EXITED|RESTARTED)/ },
  { fault: 'exit-after-seconds 3', code: /KUBELET_(EXITED|RESTARTED)/ },
  { fault: 'flap', code: /KUBELET_(EXITED|RESTARTED)/ },
  { fault: 'hang-without-healthz', code: /KUBELET_NOT_ANSWERING/ },
  { fault: 'healthz-500', code: /KUBELET_NOT_ANSWERING/ },
];

void t.test('a kubelet that is not well with the new flag is rolled back and latched', tier, (t) => {
  t.jobs = atOnce(3);
  for (const { fault, code } of faults) {
    // A kubelet says so only when a part of it is stuck, which nobody can bring about from outside.
    const skip =
      fault === 'healthz-500' && realKubelet() !== undefined && 'only a stand-in can be made to say 500';
    void t.test(fault, { ...sideBySide, skip }, async (t) => {
      const chaos = await chaosNode(t, { faults: [`with-flag:${fault}`] });
      const failed = await chaos.run({ probation: '5s' });
      t.equal(failed.outcome?.kind, 'rolledBack', failed.text);
      t.match(failed.outcome?.problem?.code, code);
      if (realKubelet() === undefined && fault.startsWith('exit'))
        t.match(failed.outcome?.problem?.message, /its last error: "Stand-in kubelet exits as told"$/);
      await chaos.node.waitForKubelet();
      t.strictSame(await chaos.find(), { file: 'old', process: 'old', litter: [] });

      const latched = await chaos.run({ probation: '5s' });
      t.equal(latched.outcome?.kind, 'refused');
      t.equal(latched.outcome?.problems?.[0]?.code, 'PLAN_LATCHED', 'the same plan is not tried again');

      chaos.node.faults([]);
      const forced = await chaos.run({ force: ['PLAN_LATCHED'] });
      t.equal(forced.outcome?.kind, 'committed', forced.text);
      t.strictSame(await chaos.find(), { file: 'new', process: 'new', litter: [] });
    });
  }
  t.end();
});

void t.test(
  'a kubelet that breaks while nobody watches is rolled back by the timer of the host, in its own time',
  tier,
  async (t) => {
    const chaos = await chaosNode(t, { faults: ['with-flag:exit-at-once'] });
    const { killed, text } = await chaos.run({
      killAt: 'after:restart',
      deadlines: { reloadMs: 1_000, restartMs: 1_000, graceMs: 1_000, watchdogSlackMs: 500 },
    });
    t.ok(killed, text);
    t.equal((await chaos.find()).file, 'new');
    await chaos.node.waitFor(async () => chaos.watchdogIsDone(), {
      what: 'the watchdog to put the unit back',
      deadlineMs: 20_000,
    });
    t.equal((await chaos.find()).file, 'old');
    await chaos.node.waitForKubelet();
    t.equal((await chaos.find()).process, 'old');
  },
);

void t.test(
  'a kubelet that tells systemd when it is ready, and never does, is rolled back',
  tier,
  async (t) => {
    const chaos = await chaosNode(t, { layout: 'notify', faults: ['with-flag:never-ready'] });
    const failed = await chaos.run({ deadlines: { restartMs: 3_000 } });
    t.equal(failed.outcome?.kind, 'rolledBack', failed.text);
    t.match(failed.outcome?.problem?.code, /RESTART_(TIMED_OUT|FAILED)/);
    await chaos.node.waitForKubelet();
    const found = await chaos.find();
    t.equal(found.file, 'old');
    t.equal(found.process, 'old');
  },
);

void t.test(
  'a kubelet that does not start with its old files either is left to its own Restart=, and the watchdog says so',
  tier,
  async (t) => {
    const chaos = await chaosNode(t, { layout: 'notify' });
    const { node } = chaos;
    const { killed, text } = await chaos.run({ killAt: 'before:restart' });
    t.ok(killed, text);
    // Whatever it is started with, it dies; and so does the one that runs.
    node.faults(['exit-at-once']);
    await node.exec(['kill', '-KILL', await node.property('MainPID')]);
    await node.systemctl('start', '--no-block', 'kubelet-sysctl-agent-watchdog.service');
    await node.waitFor(
      async () =>
        (await node.journal('kubelet-sysctl-agent-watchdog.service')).includes(
          'the old files are back, and the kubelet does not start with them; trying again in 5 s',
        ),
      { what: 'the watchdog to say what is missing', deadlineMs: 60_000 },
    );
    t.equal((await chaos.find()).file, 'old');
    t.notOk(await chaos.watchdogIsDone());

    node.faults([]);
    await node.waitForKubelet(60_000);
    t.equal((await chaos.find()).process, 'old');
    await node.waitFor(async () => chaos.watchdogIsDone(), {
      what: 'the watchdog to end',
      deadlineMs: 60_000,
    });
    const again = await chaos.run({ force: ['PLAN_LATCHED'] });
    t.match(again.outcome?.kind, /^(committed|refused)$/, again.text);
  },
);

void t.test(
  'two applies in a row on a unit with the default start limits leave the kubelet running',
  tier,
  async (t) => {
    const chaos = await chaosNode(t, { layout: 'default-limits' });
    for (const entry of ['net.core.somaxconn', 'kernel.msgmax', 'net.ipv4.tcp_tw_reuse']) {
      const done = await chaos.run({ allow: [entry] });
      t.equal(done.outcome?.kind, 'committed', done.text);
      await chaos.node.waitForKubelet();
    }
    t.equal(await chaos.node.property('NRestarts'), '0');
  },
);
