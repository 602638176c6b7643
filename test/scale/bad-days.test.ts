import * as fc from 'fast-check';
import t from 'tap';
import { roll } from './support/fleet.ts';

const minute = 60_000;

void t.test('the requests of a node do not grow with the fleet', (t) => {
  const means = [10, 100, 1000, 4000].map((nodes) => roll({ nodes, maxUnavailable: 5 }).requests.mean);
  t.ok(
    means.every((mean) => mean <= 6),
    means.map((mean) => mean.toFixed(2)).join(', '),
  );
  t.end();
});

void t.test('the first failed node stops the fleet: none begins once the news can have arrived', (t) => {
  const { failedAtMs, begunAfterFailureMs, doneAtMs, mostAtRisk, stillWaiting } = roll({
    nodes: 2000,
    maxUnavailable: 20,
    fails: (node) => node % 100 === 7,
  });
  const [first = 0] = failedAtMs;
  // To the server, into every watch, and whoever had asked before that.
  const newsMs = 60 + 150 + 60;
  t.ok(begunAfterFailureMs.every((at) => at <= first + newsMs));
  t.ok(
    doneAtMs.every((at) => at <= first + 36_000 + newsMs),
    'those at risk finish, within one turn',
  );
  t.ok(failedAtMs.length <= 20);
  t.ok(mostAtRisk <= 20);
  t.ok(stillWaiting > 0);
  t.end();
});

void t.test('maxFailed failures are borne, and each keeps its slot', (t) => {
  const failing = new Set([3, 70, 400]);
  const outcome = roll({
    nodes: 1000,
    maxUnavailable: 10,
    maxFailed: 3,
    fails: (node) => failing.has(node),
  });
  t.equal(outcome.doneAtMs.length, 997);
  t.equal(outcome.failedAtMs.length, 3);
  t.ok(outcome.mostAtRisk <= 10);
  t.end();
});

void t.test('a failed node whose Node is deleted stops the fleet no longer', (t) => {
  const outcome = roll({
    nodes: 500,
    maxUnavailable: 1,
    fails: (node) => node === 7,
    vanish: [{ atMs: 100 * 60 * minute, node: 7 }],
  });
  t.equal(outcome.doneAtMs.length, 499);
  t.equal(outcome.stillWaiting, 0);
  t.ok((outcome.doneAtMs.at(-1) ?? 0) > 100 * 60 * minute);
  t.end();
});

void t.test('nodes vanish with their slots and join late: the others all get their turn', (t) => {
  const outcome = roll({
    nodes: 2000,
    maxUnavailable: 20,
    vanish: Array.from({ length: 40 }, (_, each) => ({ atMs: (each + 1) * minute, node: 'holder' as const })),
    join: [
      { atMs: 10 * minute, nodes: 300 },
      { atMs: 30 * minute, nodes: 300 },
    ],
  });
  t.equal(outcome.doneAtMs.length, 2600 - 40);
  t.equal(outcome.overLimit, 0);
  t.ok(outcome.mostAtRisk <= 20);
  t.ok(outcome.endedAtMs <= 1.3 * outcome.idealMs);
  t.end();
});

void t.test('the API server away for ten minutes costs ten minutes, and nobody begins meanwhile', (t) => {
  const away = { fromMs: 20 * minute, untilMs: 30 * minute };
  const calm = roll({ nodes: 2000, maxUnavailable: 20 });
  const outcome = roll({ nodes: 2000, maxUnavailable: 20, away });
  t.equal(outcome.doneAtMs.length, 2000);
  t.equal(outcome.overLimit, 0);
  t.ok(outcome.mostAtRisk <= 20);
  const inside = outcome.doneAtMs.filter((at) => at > away.fromMs + 36_000 && at < away.untilMs);
  t.strictSame(inside, []);
  // Ten minutes, the turn that was under way, and the time to come back.
  t.ok(outcome.endedAtMs - calm.endedAtMs <= 10 * minute + 36_000 + 40_000);
  t.ok(outcome.requests.mean <= 8, `${outcome.requests.mean} requests a node`);
  t.end();
});

void t.test('a raised limit is used at once, a lowered one lets the holders finish first', (t) => {
  const outcome = roll({
    nodes: 2000,
    maxUnavailable: 5,
    limits: [
      { atMs: 10 * minute, maxUnavailable: 40 },
      { atMs: 20 * minute, maxUnavailable: 2 },
      { atMs: 40 * minute, maxUnavailable: 30 },
    ],
  });
  t.equal(outcome.doneAtMs.length, 2000);
  t.equal(outcome.mostAtRisk, 40);
  t.equal(outcome.overLimit, 0);
  const between = outcome.doneAtMs.filter((at) => at > 21 * minute && at < 40 * minute).length;
  t.ok(
    between > 0 && between <= (19 * minute * 2) / 30_500 + 2,
    `${between} nodes in 19 minutes at 2 a time`,
  );
  t.end();
});

void t.test('whatever happens together, never more are at risk than the greatest limit', (t) => {
  const scenarios = fc.record({
    nodes: fc.integer({ min: 1, max: 120 }),
    maxUnavailable: fc.integer({ min: 1, max: 12 }),
    maxFailed: fc.nat(6),
    limits: fc
      .array(fc.record({ atMs: fc.nat(30 * minute), maxUnavailable: fc.integer({ min: 1, max: 12 }) }), {
        maxLength: 3,
      })
      .map((limits) => limits.sort((a, b) => a.atMs - b.atMs)),
    vanish: fc.array(fc.record({ atMs: fc.nat(30 * minute), node: fc.nat(119) }), { maxLength: 5 }),
    join: fc.array(fc.record({ atMs: fc.nat(30 * minute), nodes: fc.nat(20) }), { maxLength: 2 }),
    away: fc.record({ fromMs: fc.nat(20 * minute), lastsMs: fc.nat(10 * minute) }),
    everyFails: fc.integer({ min: 5, max: 200 }),
    seed: fc.string(),
  });
  fc.assert(
    fc.property(scenarios, ({ away, everyFails, ...scenario }) => {
      const outcome = roll({
        ...scenario,
        away: { fromMs: away.fromMs, untilMs: away.fromMs + away.lastsMs },
        fails: (node) => node % everyFails === everyFails - 1,
      });
      const greatest = Math.max(
        scenario.maxUnavailable,
        ...scenario.limits.map(({ maxUnavailable }) => maxUnavailable),
      );
      t.ok(outcome.mostAtRisk <= greatest, `${outcome.mostAtRisk} of ${greatest}`);
      if (outcome.failedAtMs.length === 0) t.equal(outcome.stillWaiting, 0, 'nobody is left waiting');
    }),
    { numRuns: 150 },
  );
  t.end();
});
