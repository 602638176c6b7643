import * as fc from 'fast-check';
import t from 'tap';
import { afterEnd, nextMove } from '../../../agent/rollout/slot-rules.ts';
import type { HeldSlot, SlotDemand, SlotEnd } from '../../../agent/rollout/slot-rules.ts';

const demand = (over: Partial<SlotDemand> = {}): SlotDemand => ({
  node: 'me',
  policies: ['web'],
  maxUnavailable: 2,
  maxFailed: 0,
  ...over,
});

const slot = (index: number, holder: string, failure?: string, policy = 'web'): HeldSlot => ({
  policy,
  index,
  holder,
  failure,
});

const pools = fc
  .uniqueArray(fc.record({ index: fc.nat(9), failed: fc.boolean() }), { selector: ({ index }) => index })
  .map((slots) => slots.map(({ index, failed }) => slot(index, `n${index}`, failed ? 'X' : undefined)));

void t.test('any free slot below the limit may be taken', (t) => {
  t.strictSame(nextMove([], demand()), { kind: 'take', policy: 'web', indices: [0, 1] });
  t.strictSame(nextMove([slot(0, 'a')], demand()), { kind: 'take', policy: 'web', indices: [1] });
  t.end();
});

void t.test('a node waits while all slots are held, and knows by whom', (t) => {
  t.strictSame(nextMove([slot(0, 'a'), slot(1, 'b')], demand()), {
    kind: 'wait',
    policy: 'web',
    holders: ['a', 'b'],
  });
  t.end();
});

void t.test('a node that comes back goes on with its own slot, even in a full or a halted pool', (t) => {
  const mine = slot(1, 'me');
  t.strictSame(nextMove([slot(0, 'a', 'KUBELET_EXITED'), mine], demand()), {
    kind: 'proceed',
    slots: [mine],
  });
  const failed = slot(1, 'me', 'KUBELET_EXITED');
  t.strictSame(nextMove([failed], demand()), { kind: 'proceed', slots: [failed] });
  t.end();
});

void t.test('the first failed node stops the others, who learn its name', (t) => {
  const failed = slot(0, 'a', 'KUBELET_EXITED');
  t.strictSame(nextMove([failed], demand()), {
    kind: 'halt',
    policy: 'web',
    failed: [failed],
    giveBack: [],
  });
  t.end();
});

void t.test('maxFailed failures are borne, one more stops the rollout', (t) => {
  const wide = demand({ maxUnavailable: 5, maxFailed: 2 });
  const failed = [slot(0, 'a', 'X'), slot(1, 'b', 'X')];
  t.strictSame(nextMove(failed, wide), { kind: 'take', policy: 'web', indices: [2, 3, 4] });
  t.equal(nextMove([...failed, slot(2, 'c', 'X')], wide).kind, 'halt');
  t.end();
});

void t.test('a rollout whose slots are all kept by failed nodes is halted, not waiting', (t) => {
  t.equal(nextMove([slot(0, 'a', 'X'), slot(1, 'b', 'X')], demand({ maxFailed: 9 })).kind, 'halt');
  t.end();
});

void t.test('after the limit was lowered, holders above it count until they are done', (t) => {
  t.strictSame(nextMove([slot(4, 'a')], demand()), { kind: 'take', policy: 'web', indices: [0] });
  t.equal(nextMove([slot(4, 'a'), slot(3, 'b')], demand()).kind, 'wait');
  t.equal(nextMove([slot(0, 'a'), slot(3, 'b')], demand()).kind, 'wait');
  t.end();
});

void t.test('a raised limit gives new slots at once', (t) => {
  t.strictSame(nextMove([slot(0, 'a')], demand({ maxUnavailable: 3 })), {
    kind: 'take',
    policy: 'web',
    indices: [1, 2],
  });
  t.end();
});

void t.test('a node that serves two policies takes a slot of each, in the order of their names', (t) => {
  const both = demand({ policies: ['db', 'web'], maxUnavailable: 1 });
  t.strictSame(nextMove([], both), { kind: 'take', policy: 'db', indices: [0] });
  const db = slot(0, 'me', undefined, 'db');
  t.strictSame(nextMove([db], both), { kind: 'take', policy: 'web', indices: [0] });
  t.strictSame(nextMove([db, slot(0, 'a')], both), { kind: 'wait', policy: 'web', holders: ['a'] });
  const web = slot(0, 'me');
  t.strictSame(nextMove([db, web], both), { kind: 'proceed', slots: [db, web] });
  t.end();
});

void t.test('a halt gives back what was taken for this change, but never the slot of an own failure', (t) => {
  const three = demand({ policies: ['db', 'log', 'web'], maxUnavailable: 1 });
  const db = slot(0, 'me', undefined, 'db');
  const log = slot(0, 'me', 'KUBELET_EXITED', 'log');
  const web = slot(0, 'a', 'KUBELET_EXITED');
  t.strictSame(nextMove([db, log, web], three), {
    kind: 'halt',
    policy: 'web',
    failed: [web],
    giveBack: [db],
  });
  t.end();
});

void t.test('a failure of one policy does not stop another', (t) => {
  t.equal(nextMove([slot(0, 'a', 'X', 'db')], demand()).kind, 'take');
  t.end();
});

void t.test('success frees a slot, failure keeps it, a refusal leaves a node what it was', (t) => {
  const table: readonly (readonly [SlotEnd, string, string])[] = [
    ['committed', 'free', 'free'],
    ['converged', 'free', 'free'],
    ['refused', 'free', 'keep'],
    ['rolledBack', 'markFailed', 'markFailed'],
    ['broken', 'markFailed', 'markFailed'],
  ];
  for (const [end, underWay, failed] of table) {
    t.equal(afterEnd(end, slot(0, 'me')), underWay, `${end}, under way`);
    t.equal(afterEnd(end, slot(0, 'me', 'X')), failed, `${end}, failed before`);
  }
  t.end();
});

void t.test('the order in which slots are listed does not matter', (t) => {
  fc.assert(
    fc.property(pools, fc.integer({ min: 1, max: 6 }), (held, maxUnavailable) => {
      const wanted = demand({ maxUnavailable, maxFailed: 1 });
      const [one, other] = [nextMove(held, wanted), nextMove([...held].reverse(), wanted)];
      t.equal(one.kind, other.kind);
      if (one.kind === 'take' && other.kind === 'take') t.strictSame(one.indices, other.indices);
    }),
  );
  t.end();
});

void t.test(
  'with a true view, whoever takes does not exceed the limit, even if all who may take do so',
  (t) => {
    fc.assert(
      fc.property(pools, fc.integer({ min: 1, max: 6 }), (held, maxUnavailable) => {
        const move = nextMove(held, demand({ maxUnavailable, maxFailed: 99 }));
        if (move.kind !== 'take') return;
        t.ok(held.length + move.indices.length <= Math.max(maxUnavailable, held.length));
      }),
    );
    t.end();
  },
);
