import t, { type Test } from 'tap';
import { applySteps, rollbackSteps } from '../../agent/transaction/steps.ts';
import { atOnce, type ChaosNode, chaosNode, nodeTierUnavailable, sideBySide } from './support.ts';

// Generated from the step list: a new step is covered by itself.
const points = applySteps
  .filter((step) => step !== 'writeSysctls')
  .flatMap((step) => [`before:${step}`, `after:${step}`]);
const rollbackPoints = rollbackSteps
  .filter((step) => step !== 'close')
  .flatMap((step) => [`before:${step}`, `after:${step}`]);

const unavailable = nodeTierUnavailable();
const tier = { skip: unavailable ?? false, timeout: 900_000 };

void t.test(
  'the agent is killed at every point of an apply, and the next apply finishes the work',
  tier,
  (t) => {
    t.jobs = atOnce(4);
    for (const killAt of points) {
      void t.test(`killed ${killAt}`, sideBySide, async (t) => {
        const chaos = await chaosNode(t);
        const { killed, text } = await chaos.run({ killAt });
        t.ok(killed, `dies at ${killAt}: ${text}`);
        const amid = await chaos.find();
        t.not(amid.file, 'other', 'the file is whole');
        t.not(amid.process, 'none', 'the kubelet runs');

        await nextApplyConverges(t, chaos);
      });
    }
    t.end();
  },
);

void t.test(
  'the agent is killed at every point of an apply, and the watchdog of the host acts',
  tier,
  (t) => {
    t.jobs = atOnce(4);
    for (const killAt of points) {
      void t.test(`killed ${killAt}`, sideBySide, async (t) => {
        const chaos = await chaosNode(t);
        const { killed, text } = await chaos.run({ killAt });
        t.ok(killed, `dies at ${killAt}: ${text}`);
        const committed = killAt === 'after:commit';
        await chaos.fireWatchdog();
        await chaos.node.waitForKubelet();
        const found = await chaos.find();
        t.equal(found.file, committed ? 'new' : 'old');
        t.equal(found.process, committed ? 'new' : 'old');

        await nextApplyConverges(t, chaos);
      });
    }
    t.end();
  },
);

void t.test('the power fails at every point of an apply', tier, (t) => {
  t.jobs = atOnce(4);
  for (const killAt of points) {
    void t.test(`power cut ${killAt}`, sideBySide, async (t) => {
      const chaos = await chaosNode(t);
      const { killed, text } = await chaos.run({ killAt });
      t.ok(killed, `dies at ${killAt}: ${text}`);
      await chaos.node.powerCut();
      await chaos.node.waitForKubelet();
      const committed = killAt === 'after:commit';
      const found = await chaos.find();
      t.equal(
        found.file,
        committed ? 'new' : 'old',
        'an unproven file is put back before the kubelet starts',
      );
      t.equal(found.process, committed ? 'new' : 'old');

      await nextApplyConverges(t, chaos);
    });
  }
  t.end();
});

void t.test('the agent is killed at every point of a roll-back, and the watchdog finishes it', tier, (t) => {
  t.jobs = atOnce(4);
  for (const killAt of rollbackPoints) {
    void t.test(`killed ${killAt}`, sideBySide, async (t) => {
      const chaos = await chaosNode(t, { faults: ['with-flag:exit-at-once'] });
      const { killed, text } = await chaos.run({ killAt });
      t.ok(killed, `dies at ${killAt}: ${text}`);
      await chaos.fireWatchdog();
      await chaos.node.waitForKubelet();
      const found = await chaos.find();
      t.equal(found.file, 'old');
      t.equal(found.process, 'old');

      chaos.node.faults([]);
      const again = await chaos.run({});
      t.equal(again.outcome?.kind, 'committed', again.text);
      await chaos.node.waitForKubelet();
      t.strictSame(await chaos.find(), { file: 'new', process: 'new', litter: [] });
    });
  }
  t.end();
});

/** Whatever was left behind, one more apply has the new file and flag in force, and leaves nothing lying about. */
async function nextApplyConverges(t: Test, chaos: ChaosNode): Promise<void> {
  const again = await chaos.run({});
  t.match(again.outcome?.kind, /^(committed|converged)$/, again.text);
  await chaos.node.waitForKubelet();
  t.strictSame(await chaos.find(), { file: 'new', process: 'new', litter: [] });
}
