import * as fc from 'fast-check';
import { test } from 'tap';
import { backoffMs } from '../../../agent/transaction/loop-delays.ts';
import { foughtOver } from '../../../agent/transaction/loop-heals.ts';
import {
  loopDefaults,
  type LoopEvent,
  type LoopPosition,
  type LoopSettings,
  startPosition,
} from '../../../agent/transaction/loop-position.ts';
import { type LoopStep, nextAction } from '../../../agent/transaction/loop-rules.ts';

const settings: LoopSettings = { ...loopDefaults, dryRun: false };

/** Goes through events at their times and gives the steps. */
function walk(
  events: readonly (readonly [atMs: number, event: LoopEvent])[],
  from = startPosition(0),
  rules = settings,
): readonly LoopStep[] {
  let position = from;
  return events.map(([atMs, event]) => {
    const step = nextAction(position, event, atMs, rules, 0.5);
    position = step.position;
    return step;
  });
}

const seen = (wish: 'nothing' | 'change' | 'refused' | 'latched', needsSlot = true): LoopEvent => ({
  kind: 'nodeSeen',
  wish,
  subjects: wish === 'nothing' ? [] : ['kubelet'],
  needsSlot,
  waitsForPods: false,
});
const loaded: LoopEvent = { kind: 'policyLoaded', changed: true };
const committed: LoopEvent = { kind: 'applied', result: 'committed', subjects: ['kubelet'] };

/** A loop that has loaded its policy and found the node right. */
function settled(): LoopPosition {
  return (
    walk([
      [0, { kind: 'started' }],
      [0, loaded],
      [0, seen('nothing')],
    ]).at(-1)?.position ?? startPosition(0)
  );
}

void test('a change that was taken back, and may be tried again, is tried ever more slowly', (t) => {
  const waits: number[] = [];
  let position = settled();
  let now = 0;
  for (let round = 1; round <= 4; round += 1) {
    position = { ...position, wish: 'change', applyNotBeforeMs: Math.max(now, position.applyNotBeforeMs) };
    const failed = nextAction(position, { kind: 'applied', result: 'rolledBack' }, now, settings, 0.5);
    t.equal(failed.action, 'lookAtNode', 'the node is looked at, whatever comes next');
    const step = nextAction(failed.position, seen('change', false), now, settings, 0.5);
    waits.push(step.position.applyNotBeforeMs - now);
    t.not(step.action, 'apply');
    ({ position } = step);
    now = position.applyNotBeforeMs;
    t.equal(nextAction(position, { kind: 'timePassed' }, now, settings, 0.5).action, 'apply');
  }
  t.same(
    waits,
    [1, 2, 3, 4].map((repetition) => backoffMs(repetition, 0.5)),
  );
  const done = nextAction(position, { ...committed, subjects: [] }, now, settings, 0.5);
  t.equal(done.position.failures, 0);
  t.end();
});

void test('a start loads the policy, looks, and waits for the next cycle', (t) => {
  const steps = walk([
    [0, { kind: 'started' }],
    [0, loaded],
    [0, seen('nothing')],
  ]);
  t.same(
    steps.map(({ action }) => action),
    ['loadPolicy', 'lookAtNode', 'wait'],
  );
  t.equal(steps.at(-1)?.untilMs, settings.cycleMs);
  t.end();
});

void test('a change waits for a slot, looks again once it is there, and only then is applied', (t) => {
  const steps = walk([
    [0, { kind: 'started' }],
    [0, loaded],
    [0, seen('change')],
    [0, { kind: 'timePassed' }],
    [60_000, { kind: 'slotGranted' }],
    [60_000, seen('change')],
  ]);
  t.same(
    steps.map(({ action }) => action),
    ['loadPolicy', 'lookAtNode', 'askForSlot', 'wait', 'lookAtNode', 'apply'],
  );
  t.end();
});

void test('a change that restarts nothing needs no slot', (t) => {
  t.equal(walk([[0, seen('change', false)]], settled()).at(-1)?.action, 'apply');
  t.end();
});

void test('a slot is given back when there is nothing left to do with it', (t) => {
  const steps = walk(
    [
      [0, seen('change')],
      [10, { kind: 'slotGranted' }],
      [10, seen('nothing')],
    ],
    settled(),
  );
  t.same(
    steps.map(({ action }) => action),
    ['askForSlot', 'lookAtNode', 'giveUpSlot'],
  );
  t.equal(steps.at(-1)?.position.slot, 'none');
  t.end();
});

void test('a dry run never asks for a slot nor applies', (t) => {
  const rules = { ...settings, dryRun: true };
  t.same(
    walk(
      [
        [0, seen('change')],
        [0, seen('change', false)],
      ],
      settled(),
      rules,
    ).map(({ action }) => action),
    ['wait', 'wait'],
  );
  t.end();
});

void test('notices are gathered until it is quiet, but not for longer than a second', (t) => {
  const quiet = walk(
    [
      [1000, { kind: 'noticed' }],
      [1100, { kind: 'noticed' }],
    ],
    settled(),
  );
  t.same(
    quiet.map(({ untilMs }) => untilMs),
    [1250, 1350],
  );
  const storm = walk(
    Array.from({ length: 100 }, (_, index) => [1000 + index * 100, { kind: 'noticed' }] as const),
    settled(),
  );
  t.equal(
    storm.findIndex(({ action }) => action === 'lookAtNode'),
    10,
  );
  t.end();
});

void test('a latched or refused change is not applied; a refused one is looked at again, later each time', (t) => {
  t.equal(walk([[0, seen('latched')]], settled()).at(-1)?.action, 'wait');
  const first = walk([[0, seen('refused')]], settled()).at(-1);
  const second = walk(
    [
      [0, seen('refused')],
      [15_000, seen('refused')],
    ],
    settled(),
  ).at(-1);
  t.equal(first?.position.nodeDueAtMs, 15_000);
  t.equal(second?.position.nodeDueAtMs, 45_000);
  t.end();
});

void test('who waits for pods looks again within a minute, however long it has waited', (t) => {
  const waits: LoopEvent = {
    kind: 'nodeSeen',
    wish: 'refused',
    subjects: ['kubelet'],
    needsSlot: false,
    waitsForPods: true,
  };
  const story = Array.from({ length: 20 }, (_, index) => [index * 60_000, waits] as const);
  const last = walk(story, settled()).at(-1);
  t.equal(last?.position.nodeDueAtMs, 20 * 60_000);
  t.equal(last?.position.setbacks, 0);
  t.equal(walk([[20 * 60_000, { kind: 'noticed' }]], last?.position).at(-1)?.action, 'lookAtNode');
  t.end();
});

void test('the first rollout is no heal; three heals are a fight, and a new policy ends it', (t) => {
  let position =
    walk([
      [0, { kind: 'started' }],
      [0, loaded],
      [0, seen('change', false)],
      [1, committed],
      [1, seen('nothing')],
    ]).at(-1)?.position ?? settled();
  t.same(position.heals.kubelet, []);
  let atMs = 1;
  for (let heal = 1; heal <= 3; heal += 1) {
    atMs += 3_600_000;
    const [found, done] = walk(
      [
        [atMs, seen('change', false)],
        [atMs, committed],
        [atMs, seen('nothing')],
      ],
      position,
    );
    t.equal(found?.action, 'apply', `heal ${heal}`);
    position = walk([[atMs, seen('nothing')]], done?.position).at(-1)?.position ?? position;
  }
  t.same(foughtOver(position, atMs, settings), ['kubelet']);
  t.equal(walk([[atMs + 3_600_000, seen('change', false)]], position).at(-1)?.action, 'wait');
  t.equal(
    walk([[atMs + settings.healWindowMs, seen('change', false)]], position).at(-1)?.action,
    'apply',
    'hours later it is tried again',
  );
  t.same(foughtOver(walk([[atMs, loaded]], position).at(-1)?.position ?? position, atMs, settings), []);
  t.end();
});

void test('whoever undoes a heal at once makes the next one wait', (t) => {
  const healed = walk(
    [
      [0, seen('change', false)],
      [0, committed],
    ],
    settled(),
  ).at(-1);
  t.equal(healed?.action, 'lookAtNode', 'what was done is looked at');
  const again = walk([[10, seen('change', false)]], healed?.position).at(-1);
  t.equal(again?.action, 'wait');
  t.equal(again?.untilMs, 15_000);
  t.equal(walk([[15_000, { kind: 'timePassed' }]], again?.position).at(-1)?.action, 'apply');
  t.end();
});

void test('what drifts without being healable is looked at all the same', (t) => {
  const fought = { ...settled(), heals: { kubelet: [0, 0, 0], sysctls: [] } };
  const steps = walk(
    [
      [100, seen('change', false)],
      [15_100, { kind: 'timePassed' }],
    ],
    fought,
  );
  t.same(
    steps.map(({ action }) => action),
    ['wait', 'lookAtSysctls'],
  );
  t.end();
});

void test('delays double up to ten minutes, within a fifth', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (repetition, roll) => {
        const plain = Math.min(15_000 * 2 ** (repetition - 1), 600_000);
        const delay = backoffMs(repetition, roll);
        return delay >= plain * 0.8 - 1 && delay <= plain * 1.2 + 1;
      },
    ),
  );
  t.end();
});

void test('whatever happens, a wait ends within one cycle and never lies in the past', (t) => {
  const events = fc.oneof(
    fc.constantFrom<LoopEvent>(
      { kind: 'timePassed' },
      { kind: 'noticed' },
      { kind: 'policyNoticed' },
      loaded,
      { kind: 'policyLoaded', changed: false },
      { kind: 'lookFailed' },
      { kind: 'slotGranted' },
      { kind: 'slotRefused' },
      committed,
      { kind: 'applied', result: 'refused' },
      { kind: 'applied', result: 'rolledBack' },
      { kind: 'sysctlsSeen', changed: true },
      { kind: 'sysctlsSeen', changed: false },
    ),
    fc.record({
      kind: fc.constant('nodeSeen' as const),
      wish: fc.constantFrom('nothing', 'change', 'refused', 'latched'),
      subjects: fc.subarray(['kubelet', 'sysctls'] as const),
      needsSlot: fc.boolean(),
      waitsForPods: fc.boolean(),
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20_000), events), { maxLength: 60 }), (story) => {
      let nowMs = 0;
      let position = startPosition(0);
      for (const [passedMs, event] of story) {
        nowMs += passedMs;
        const step = nextAction(position, event, nowMs, settings, 0.5);
        position = step.position;
        if (step.untilMs < nowMs || step.untilMs > nowMs + settings.cycleMs) return false;
      }
      return true;
    }),
  );
  t.end();
});

void test('while it waits for a slot it waits for a moment that is still to come', (t) => {
  const step = walk([
    [0, { kind: 'started' }],
    [0, loaded],
    [0, seen('change')],
    [1_000, { kind: 'timePassed' }],
  ]).at(-1);
  t.equal(step?.action, 'wait');
  t.ok((step?.untilMs ?? 0) > 1_000, 'or the loop would spin, and nothing else would ever happen');
  t.end();
});
