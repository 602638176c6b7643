import { test } from 'tap';
import { type Clock, systemClock } from '../../agent/host/clock.ts';
import { fakeClock } from '../support/host/clock.ts';

interface Harness {
  readonly clock: Clock;
  /** Lets this much time pass. */
  readonly pass: (ms: number) => Promise<void>;
}

const harnesses: Readonly<Record<string, () => Harness>> = {
  system: () => ({ clock: systemClock, pass: async (ms) => systemClock.sleep(ms) }),
  fake: () => {
    const clock = fakeClock();
    return { clock, pass: async (ms) => clock.advance(ms) };
  },
};

for (const [name, build] of Object.entries(harnesses)) {
  void test(`the ${name} clock`, async (t) => {
    await t.test('tells wall time in milliseconds since the epoch', async (t) => {
      const { clock } = build();
      t.ok(clock.now() >= Date.UTC(2026, 0, 1), 'not in seconds, not since boot');
      t.ok(clock.now() < Date.UTC(2200, 0, 1), 'not in microseconds');
    });

    await t.test('sleeps at least as long as asked', async (t) => {
      const { clock, pass } = build();
      const before = clock.monotonic();
      const slept = clock.sleep(15);
      await pass(15);
      await slept;
      t.ok(clock.monotonic() - before >= 15);
    });

    await t.test('wakes sleepers in the order of their ends', async (t) => {
      const { clock, pass } = build();
      const woken: string[] = [];
      const late = clock.sleep(30).then(() => woken.push('late'));
      const early = clock.sleep(5).then(() => woken.push('early'));
      await pass(40);
      await Promise.all([late, early]);
      t.strictSame(woken, ['early', 'late']);
    });

    await t.test('returns at once from a sleep of nothing', async (t) => {
      const { clock } = build();
      await clock.sleep(0);
      await clock.sleep(-1);
      t.pass('no timer was needed');
    });

    await t.test('ends a sleep with the reason of the abort', async (t) => {
      const { clock } = build();
      const stop = new AbortController();
      const reason = new Error('told to stop');
      const slept = clock.sleep(3_600_000, stop.signal);
      stop.abort(reason);
      await t.rejects(slept, reason);
    });

    await t.test('refuses to sleep for somebody who was told to stop before', async (t) => {
      const { clock } = build();
      await t.rejects(clock.sleep(3_600_000, AbortSignal.abort(new Error('long ago'))), {
        message: 'long ago',
      });
    });
  });
}

void test('the system clock waits for longer than a timer can hold', async (t) => {
  const stop = new AbortController();
  const slept = systemClock.sleep(2 ** 31 + 1000, stop.signal);
  await systemClock.sleep(5);
  stop.abort(new Error('still asleep'));
  await t.rejects(slept, { message: 'still asleep' }, 'a timer beyond 2^31 - 1 ms would have fired at once');
});

void test('the fake clock lets a woken sleeper sleep again inside one advance', async (t) => {
  const clock = fakeClock();
  const ticks: number[] = [];
  const loop = (async () => {
    for (let i = 0; i < 3; i += 1) {
      await clock.sleep(10);
      ticks.push(clock.monotonic());
    }
  })();
  await clock.advance(35);
  await loop;
  t.strictSame(ticks, [10, 20, 30]);
  t.equal(clock.monotonic(), 35);
});

void test('setting the fake wall clock leaves sleepers alone', async (t) => {
  const clock = fakeClock();
  const slept = clock.sleep(10);
  clock.setWallClock(0);
  t.equal(clock.now(), 0);
  t.equal(clock.sleepers(), 1);
  await clock.advance(10);
  await slept;
  t.equal(clock.now(), 10);
});
