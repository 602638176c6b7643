import * as fc from 'fast-check';
import t from 'tap';
import {
  defaultDeadlines,
  probationFor,
  restartDeadline,
  waitForStartLimit,
  watchdogAfter,
} from '../../../agent/transaction/timing.ts';

/** What systemd calls `infinity`, in milliseconds. */
const infinityMs = Number((2n ** 64n - 1n) / 1000n);
const duration = fc.oneof(fc.nat(3_600_000), fc.constant(infinityMs), fc.constant(0));
const notify = { type: 'notify', startTimeoutMs: 90_000 };

void t.test('probation outlasts RestartSec, so that a crash loop shows', async () => {
  fc.assert(
    fc.property(fc.nat(1_800_000), fc.nat(1_700_000), (policyMs, restartMs) => {
      const probation = probationFor(policyMs, { restartMs });
      return probation > restartMs && probation >= policyMs;
    }),
  );
});

void t.test('no unit makes a probation, a restart or a wait endless', async () => {
  fc.assert(
    fc.property(
      duration,
      duration,
      duration,
      duration,
      fc.integer(),
      (policyMs, restartMs, startTimeoutMs, startLimitIntervalMs, nowMs) => {
        const probation = probationFor(policyMs, { restartMs });
        const restart = restartDeadline({ type: 'notify', startTimeoutMs }, defaultDeadlines);
        const wait = waitForStartLimit(
          { mainStartedAtMs: 1, startLimitIntervalMs, startLimitBurst: 5 },
          nowMs,
        );
        return probation <= 30 * 60_000 && restart <= 5 * 60_000 && wait >= 0 && wait <= 10 * 60_000;
      },
    ),
  );
});

void t.test('the watchdog waits longer than all that the agent may wait for together', async () => {
  fc.assert(
    fc.property(
      duration,
      duration,
      fc.constantFrom('simple', 'notify', 'notify-reload'),
      duration,
      (policyMs, restartMs, type, startTimeoutMs) => {
        const probation = probationFor(policyMs, { restartMs });
        const restart = restartDeadline({ type, startTimeoutMs }, defaultDeadlines);
        const { reloadMs, graceMs } = defaultDeadlines;
        const after = watchdogAfter(probation, restart, defaultDeadlines);
        return after > reloadMs + restart + graceMs + probation && Number.isSafeInteger(after);
      },
    ),
  );
});

void t.test('a unit that says when it is ready is given the time that it asks for', async (t) => {
  t.equal(restartDeadline({ type: 'simple', startTimeoutMs: 200_000 }, defaultDeadlines), 60_000);
  t.equal(restartDeadline(notify, defaultDeadlines), 91_000);
  t.equal(restartDeadline({ ...notify, type: 'notify-reload' }, defaultDeadlines), 91_000);
  t.equal(restartDeadline({ ...notify, startTimeoutMs: 1_000 }, defaultDeadlines), 60_000);
  t.equal(restartDeadline({ ...notify, startTimeoutMs: infinityMs }, defaultDeadlines), 300_000);
});

void t.test('a restart waits until the last start has left its window', async (t) => {
  const unit = { mainStartedAtMs: 100_000, startLimitIntervalMs: 10_000, startLimitBurst: 5 };
  t.equal(waitForStartLimit(unit, 104_000), 6_000);
  t.equal(waitForStartLimit(unit, 110_000), 0);
  t.equal(waitForStartLimit(unit, 9_000_000), 0);
  t.equal(waitForStartLimit({ ...unit, startLimitIntervalMs: 0 }, 104_000), 0, 'no limit');
  t.equal(waitForStartLimit({ ...unit, startLimitBurst: 0 }, 104_000), 0, 'no limit');
  t.equal(waitForStartLimit({ ...unit, mainStartedAtMs: 0 }, 5), 0, 'never started');
});

void t.test('a clock that was set back or forward changes no more than one window', async (t) => {
  const unit = { mainStartedAtMs: 100_000, startLimitIntervalMs: 10_000, startLimitBurst: 5 };
  t.equal(waitForStartLimit(unit, -50_000_000), 10_000);
  t.equal(waitForStartLimit(unit, 50_000_000), 0);
});
