import * as fc from 'fast-check';
import t from 'tap';
import { drawTurns, nextTurn, noTurns } from '../../../agent/rollout/free-slots.ts';
import { defaultTurnTiming, fraction, turnDelay, vigilDelay } from '../../../agent/rollout/turns.ts';

void t.test('a turn is drawn within the spread, the same for the same words', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (node, slot, turn) => {
      const delay = turnDelay(node, slot, turn);
      t.ok(delay >= 0 && delay <= defaultTurnTiming.spreadMs);
      t.equal(turnDelay(node, slot, turn), delay);
    }),
  );
  t.end();
});

void t.test('fractions of names that differ in their last digits are spread evenly', (t) => {
  const counts = Array.from({ length: 10 }, () => 0);
  for (let node = 0; node < 10_000; node += 1) {
    const tenth = Math.floor(fraction(`node-${node}`, 'web/0', '17') * 10);
    counts[tenth] = (counts[tenth] ?? 0) + 1;
  }
  // Six standard deviations of a fair draw are 180.
  for (const count of counts) t.ok(Math.abs(count - 1000) < 180, String(count));
  t.end();
});

void t.test('whatever the number of waiting nodes, few try before all have seen the slot taken', (t) => {
  const latencyMs = 150;
  const turns = 200;
  for (const waiting of [1, 2, 10, 100, 1000, 10_000]) {
    let attempts = 0;
    let slowest = 0;
    for (let turn = 0; turn < turns; turn += 1) {
      const delays = Array.from({ length: waiting }, (_, node) =>
        turnDelay(`node-${node}`, 'web/0', String(turn)),
      );
      const first = delays.reduce((a, b) => Math.min(a, b));
      attempts += delays.filter((delay) => delay <= first + latencyMs).length;
      slowest = Math.max(slowest, first);
    }
    t.ok(attempts / turns < 3.5, `${waiting} waiting: ${attempts / turns} attempts a slot`);
    t.ok(slowest <= defaultTurnTiming.spreadMs);
  }
  t.end();
});

void t.test('a slot that stays free keeps its turn, one that was taken between gets a new one', (t) => {
  const free = (...indices: readonly number[]) => ({ kind: 'take', policy: 'web', indices }) as const;
  const first = drawTurns(noTurns, free(0, 1), 'n1', { turn: '1', ms: 1000 });
  const second = drawTurns(first, free(1, 2), 'n1', { turn: '2', ms: 5000 });
  t.equal(second.at.get(1), first.at.get(1));
  t.ok((second.at.get(2) ?? 0) >= 5000);
  const third = drawTurns(second, free(0), 'n1', { turn: '3', ms: 9000 });
  t.strictSame([...third.at.keys()], [0]);
  t.ok((third.at.get(0) ?? 0) >= 9000);
  t.end();
});

void t.test('turns of one policy are not those of another', (t) => {
  const web = drawTurns(noTurns, { kind: 'take', policy: 'web', indices: [0] }, 'n1', { turn: '1', ms: 0 });
  const db = drawTurns(web, { kind: 'take', policy: 'db', indices: [0] }, 'n1', { turn: '1', ms: 9000 });
  t.ok((db.at.get(0) ?? 0) >= 9000);
  t.end();
});

void t.test('the first turn of several comes first', (t) => {
  t.equal(nextTurn(noTurns), undefined);
  const at = new Map([
    [0, 30],
    [1, 10],
    [2, 20],
  ]);
  t.strictSame(nextTurn({ policy: 'web', at }), { index: 1, atMs: 10 });
  t.end();
});

void t.test('looks for a vanished holder come twice as late each time, at most hourly', (t) => {
  const looks = Array.from({ length: 20 }, (_, look) => vigilDelay('n1', look));
  t.ok(looks.every((delay) => delay >= 30_000 && delay <= 3_600_000));
  t.equal(looks.at(-1), 3_600_000);
  const firstDay = looks.reduce(
    ({ at, count }, delay) =>
      at + delay > 86_400_000 ? { at, count } : { at: at + delay, count: count + 1 },
    { at: 0, count: 0 },
  );
  t.ok(firstDay.count < 40, String(firstDay.count));
  t.end();
});
