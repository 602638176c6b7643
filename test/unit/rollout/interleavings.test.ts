import * as fc from 'fast-check';
import t from 'tap';
import { afterEnd, nextMove } from '../../../agent/rollout/slot-rules.ts';
import type { HeldSlot, SlotEnd } from '../../../agent/rollout/slot-rules.ts';

/** A fleet in which anything may happen in any order: nodes see old news, know old limits, crash and vanish. */
class Fleet {
  held: readonly HeldSlot[] = [];
  readonly #nodes: Map<string, Member>;
  readonly violations: string[] = [];

  constructor(nodes: readonly Member[]) {
    this.#nodes = new Map(nodes.map((node) => [node.name, node]));
  }

  member(name: string): Member | undefined {
    return this.#nodes.get(name);
  }

  see(name: string): void {
    const node = this.#nodes.get(name);
    if (node !== undefined) node.view = this.held;
  }

  /** One step of a node by what it last saw; the server refuses to make a slot that exists. */
  step(name: string, choice: number): string {
    const node = this.#nodes.get(name);
    if (node === undefined) return 'gone';
    const seen = node.view;
    const move = nextMove(seen, { ...node, node: name });
    if (move.kind === 'proceed') node.atRisk = true;
    if (move.kind === 'halt') this.#remove(move.giveBack);
    if (move.kind !== 'take') return move.kind;
    const failed = seen.filter(({ policy, failure }) => policy === move.policy && failure !== undefined);
    if (failed.length > node.maxFailed)
      this.violations.push(`${name} took although it saw ${failed.length} fail`);
    const index = move.indices[choice % move.indices.length] ?? 0;
    const exists = this.held.find((slot) => slot.policy === move.policy && slot.index === index);
    if (exists !== undefined) return 'conflict';
    const taken = { policy: move.policy, index, holder: name, failure: undefined };
    this.held = [...this.held, taken];
    // A node always sees what it did itself.
    node.view = [...node.view, taken];
    node.limits.set(move.policy, node.maxUnavailable);
    return 'took';
  }

  end(name: string, end: SlotEnd): void {
    const node = this.#nodes.get(name);
    if (node === undefined || !node.atRisk) return;
    node.atRisk = false;
    this.held = this.held.flatMap((slot) => {
      if (slot.holder !== name) return [slot];
      const next = afterEnd(end, slot);
      if (next === 'free') return [];
      return [next === 'markFailed' ? { ...slot, failure: end } : slot];
    });
    node.view = this.held;
  }

  vanish(name: string): void {
    this.#nodes.delete(name);
    this.held = this.held.filter(({ holder }) => holder !== name);
  }

  #remove(slots: readonly HeldSlot[]): void {
    this.held = this.held.filter(
      (slot) =>
        !slots.some(
          ({ policy, index, holder }) =>
            policy === slot.policy && index === slot.index && holder === slot.holder,
        ),
    );
  }

  check(): void {
    for (const policy of policyNames) {
      const pool = this.held.filter((slot) => slot.policy === policy);
      const limits = pool.map(({ holder }) => this.#nodes.get(holder)?.limits.get(policy) ?? 0);
      const most = Math.max(0, ...limits);
      if (pool.length > most) this.violations.push(`${policy}: ${pool.length} held, greatest limit ${most}`);
    }
    for (const node of this.#nodes.values()) {
      const own = this.held.filter(({ holder }) => holder === node.name).map(({ policy }) => policy);
      if (node.atRisk && node.policies.some((policy) => !own.includes(policy)))
        this.violations.push(`${node.name} is at risk without a slot`);
    }
  }
}

interface Member {
  readonly name: string;
  readonly policies: readonly string[];
  maxUnavailable: number;
  readonly maxFailed: number;
  view: readonly HeldSlot[];
  atRisk: boolean;
  readonly limits: Map<string, number>;
}

const policyNames = ['db', 'log', 'web'] as const;
const names = ['n0', 'n1', 'n2', 'n3', 'n4', 'n5'] as const;
const ends: readonly SlotEnd[] = ['committed', 'converged', 'refused', 'rolledBack', 'broken'];

const members = fc.tuple(
  ...names.map((name) =>
    fc.record({
      name: fc.constant(name),
      policies: fc.subarray([...policyNames], { minLength: 1 }),
      maxUnavailable: fc.integer({ min: 1, max: 4 }),
      maxFailed: fc.nat(2),
    }),
  ),
);

const someone = fc.constantFrom(...names);
const happenings = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('see' as const), who: someone }) },
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('step' as const), who: someone, choice: fc.nat(9) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('end' as const),
        who: someone,
        end: fc.constantFrom(...ends),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('limit' as const),
        who: someone,
        limit: fc.integer({ min: 1, max: 4 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), who: someone }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('vanish' as const), who: someone }) },
  ),
  { maxLength: 120 },
);
type Happening = (
  typeof happenings extends fc.Arbitrary<infer List> ? List : never
) extends readonly (infer One)[]
  ? One
  : never;

function fleetOf(list: readonly Omit<Member, 'view' | 'atRisk' | 'limits'>[]): Fleet {
  return new Fleet(list.map((node) => ({ ...node, view: [], atRisk: false, limits: new Map() })));
}

function happen(fleet: Fleet, event: Happening): void {
  const node = fleet.member(event.who);
  switch (event.kind) {
    case 'see':
      fleet.see(event.who);
      break;
    case 'step':
      fleet.step(event.who, event.choice);
      break;
    case 'end':
      fleet.end(event.who, event.end);
      break;
    case 'limit':
      if (node !== undefined) node.maxUnavailable = event.limit;
      break;
    case 'crash':
      // The agent that comes back lists the slots first, and goes on with its own.
      fleet.see(event.who);
      break;
    case 'vanish':
      fleet.vanish(event.who);
      break;
    default:
      event satisfies never;
  }
}

void t.test('in no order of events are more nodes at risk than the greatest limit of one of them', (t) => {
  fc.assert(
    fc.property(members, happenings, (list, events) => {
      const fleet = fleetOf(list);
      for (const event of events) {
        happen(fleet, event);
        fleet.check();
      }
      t.strictSame(fleet.violations, []);
    }),
    { numRuns: 400 },
  );
  t.end();
});

void t.test('with one limit for all that never changes, it is never exceeded, however old the news', (t) => {
  fc.assert(
    fc.property(members, fc.integer({ min: 1, max: 4 }), happenings, (list, limit, events) => {
      const fleet = fleetOf(list.map((node) => ({ ...node, maxUnavailable: limit })));
      for (const event of events.filter(({ kind }) => kind !== 'limit')) {
        happen(fleet, event);
        for (const policy of policyNames)
          t.ok(fleet.held.filter((slot) => slot.policy === policy).length <= limit);
      }
    }),
    { numRuns: 400 },
  );
  t.end();
});

void t.test(
  'once every node knows the lowered limit and the holders, none makes them more than that',
  (t) => {
    fc.assert(
      fc.property(members, happenings, happenings, (list, before, after) => {
        const fleet = fleetOf(list);
        for (const event of before) happen(fleet, event);
        for (const name of names) {
          const node = fleet.member(name);
          if (node !== undefined) node.maxUnavailable = 1;
          fleet.see(name);
        }
        for (const event of after.filter(({ kind }) => kind !== 'limit')) {
          const counts = new Map(policyNames.map((policy) => [policy, held(fleet, policy)]));
          happen(fleet, event);
          for (const policy of policyNames)
            t.ok(
              held(fleet, policy) <= Math.max(1, counts.get(policy) ?? 0),
              `${policy} after ${event.kind}`,
            );
        }
      }),
      { numRuns: 400 },
    );
    t.end();
  },
);

void t.test('where nothing fails, every node gets its turn, whatever policies it shares with others', (t) => {
  fc.assert(
    fc.property(members, fc.array(fc.nat(5), { maxLength: 200 }), (list, order) => {
      const fleet = fleetOf(list);
      const waiting = new Set<string>(names);
      const turn = (name: string): void => {
        if (!waiting.has(name)) return;
        fleet.see(name);
        if (fleet.step(name, 0) !== 'proceed') return;
        fleet.end(name, 'committed');
        waiting.delete(name);
      };
      for (const index of order) turn(names[index] ?? 'n0');
      // Fair from here on: each round at least one node gets one slot further, and there are at most 18 of them.
      for (let round = 0; round < 20; round += 1) for (const name of names) turn(name);
      t.strictSame([...waiting], []);
      t.strictSame(fleet.held, []);
    }),
    { numRuns: 400 },
  );
  t.end();
});

function held(fleet: Fleet, policy: string): number {
  return fleet.held.filter((slot) => slot.policy === policy).length;
}
