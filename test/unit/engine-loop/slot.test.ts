import { test } from 'tap';
import type { Grant, RolloutGate, SlotRequest } from '../../../agent/engine/gate.ts';
import { endSeen, SlotKeeper } from '../../../agent/engine/loop-slot.ts';
import type { SlotEnd } from '../../../agent/rollout/slot-rules.ts';
import type { LoopEvent } from '../../../agent/transaction/loop-position.ts';
import { runningClock } from '../../support/host/running-clock.ts';

const request = {
  unit: 'kubelet.service',
  planHash: 'a'.repeat(64),
  maxUnavailable: 1,
  maxFailed: 0,
  policies: ['web'],
};

/** A gate that remembers what it was told and keeps a slot as the rules do. */
function fakeGate(): RolloutGate & {
  readonly told: SlotEnd[];
  holding: boolean;
  answer: (waiting?: () => void) => Promise<Grant>;
} {
  const gate = {
    told: [] as SlotEnd[],
    holding: false,
    answer: async (_waiting?: () => void): Promise<Grant> =>
      Promise.resolve({ kind: 'granted', slot: 'slot.web.0' }),
    acquire: async (_request: SlotRequest, _signal: AbortSignal, waiting?: () => void) => {
      const grant = await gate.answer(waiting);
      gate.holding = grant.kind === 'granted';
      return grant;
    },
    settle: async (end: SlotEnd) => {
      gate.told.push(end);
      if (end !== 'rolledBack' && end !== 'broken') gate.holding = false;
      return Promise.resolve();
    },
    holds: () => gate.holding,
  };
  return gate;
}

function keeperOf(gate: RolloutGate): {
  readonly keeper: SlotKeeper;
  readonly shown: boolean[];
  readonly events: LoopEvent['kind'][];
  /** Each time that it changed, whether the rollout is halted. */
  readonly halts: boolean[];
} {
  const shown: boolean[] = [];
  const events: LoopEvent['kind'][] = [];
  const clock = runningClock(0);
  const ports = {
    gate,
    host: { clock },
    log: () => undefined,
    publish: { slot: (held: boolean) => shown.push(held) },
  };
  const halts: boolean[] = [];
  const keeper: SlotKeeper = new SlotKeeper(
    ports,
    ({ kind }) => events.push(kind),
    () => halts.push(keeper.halted),
  );
  return { keeper, shown, events, halts };
}

const settled = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

void test('only a kubelet that is well and as the policy wants it ends a failure', (t) => {
  const seen = { wish: 'nothing', isWell: true, isBroken: false } as const;
  t.equal(endSeen(seen), 'converged');
  t.equal(endSeen({ ...seen, isWell: false }), undefined);
  t.equal(endSeen({ ...seen, isBroken: true }), 'broken');
  t.equal(endSeen({ ...seen, wish: 'latched' }), 'rolledBack');
  t.equal(endSeen({ ...seen, wish: 'refused' }), 'refused');
  t.equal(endSeen({ ...seen, wish: 'change' }), undefined, 'it asks, and the gate knows its own slot');
  t.end();
});

void test('a slot that a failed change keeps is shown as held, until a look proves the node well', async (t) => {
  const gate = fakeGate();
  const { keeper, shown, events } = keeperOf(gate);
  keeper.ask(request);
  await settled();
  t.same(events, ['slotGranted']);
  await keeper.settle('rolledBack');
  t.same(shown, [true, true]);
  await keeper.recall('rolledBack');
  t.same(gate.told, ['rolledBack'], 'what was told is not told again');
  await keeper.recall('converged');
  t.same(gate.told, ['rolledBack', 'converged']);
  t.equal(shown.at(-1), false);
});

void test('an agent that starts settles what an earlier one left, once', async (t) => {
  const gate = fakeGate();
  gate.holding = true;
  const { keeper, shown } = keeperOf(gate);
  await keeper.recall(undefined);
  t.same(gate.told, []);
  await keeper.recall('converged');
  await keeper.recall('converged');
  t.same(gate.told, ['converged']);
  t.same(shown, [false]);
});

void test('while it waits or has been granted one, a look settles nothing', async (t) => {
  const gate = fakeGate();
  const { keeper } = keeperOf(gate);
  keeper.ask(request);
  await keeper.recall('converged');
  await settled();
  await keeper.recall('converged');
  t.same(gate.told, []);
});

void test('after a grant that could not be had, the next look is told again: a slot may have been taken', async (t) => {
  const gate = fakeGate();
  const { keeper, events } = keeperOf(gate);
  await keeper.recall('converged');
  gate.answer = async () => Promise.reject(new Error('cut'));
  keeper.ask(request);
  await settled();
  t.same(events, ['slotRefused']);
  await keeper.recall('converged');
  t.same(gate.told, ['converged', 'converged']);
});

void test('a halt is told once, and so is its end, as soon as the gate knows that this node only waits', async (t) => {
  const gate = fakeGate();
  const { keeper, events, halts } = keeperOf(gate);
  gate.answer = async () => Promise.resolve({ kind: 'halted', by: 'node-3', reason: 'it failed' });
  keeper.ask(request);
  await settled();
  keeper.ask(request);
  await settled();
  t.same(events, ['slotRefused', 'slotRefused']);
  t.same(halts, [true]);

  gate.answer = async (waiting) => {
    waiting?.();
    waiting?.();
    return new Promise(() => undefined);
  };
  keeper.ask(request);
  t.same(halts, [true, false]);
  t.equal(keeper.isOpen, true, 'and it waits on');
  await keeper.settle('refused');
});
