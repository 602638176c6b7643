import { afterEnd, type HeldSlot, nextMove } from '../../../agent/rollout/slot-rules.ts';
import { defaultTurnTiming, fraction, turnDelay } from '../../../agent/rollout/turns.ts';
import { Agenda } from './agenda.ts';

/** One rollout through a simulated fleet. Times in milliseconds of simulated time. */
export interface Scenario {
  readonly nodes: number;
  readonly maxUnavailable: number;
  readonly maxFailed?: number;
  /** Changes of the limit while the rollout runs. */
  readonly limits?: readonly { readonly atMs: number; readonly maxUnavailable: number }[];
  /** Which nodes fail when it is their turn. */
  readonly fails?: (node: number) => boolean;
  /** Nodes deleted from the cluster: with whatever they hold. */
  readonly vanish?: readonly { readonly atMs: number; readonly node: number | 'holder' }[];
  readonly join?: readonly { readonly atMs: number; readonly nodes: number }[];
  /** The API server answers nothing and sends no event between these. */
  readonly away?: { readonly fromMs: number; readonly untilMs: number };
  readonly seed?: string;
}

export interface Outcome {
  /** When each node was done, in order. */
  readonly doneAtMs: readonly number[];
  readonly endedAtMs: number;
  /** What a perfect scheduler would need: no node waits while a slot is free. */
  readonly idealMs: number;
  readonly mostAtRisk: number;
  /** Takes that made more nodes at risk than the limit that the taker knew. */
  readonly overLimit: number;
  readonly failedAtMs: readonly number[];
  /** When nodes began after the first failure. */
  readonly begunAfterFailureMs: readonly number[];
  readonly requests: { readonly mean: number; readonly most: number };
  readonly conflicts: number;
  /** Watch events sent, to all nodes together. */
  readonly events: number;
  readonly stillWaiting: number;
}

const policy = 'web';
const requestMs = { least: 5, most: 60 };
const watchMs = { least: 5, most: 150 };
const collectMs = 2_000;
const reconnectMs = 30_000;

/** Runs the rules of agent/rollout on every node, each behind its own delays. The same scenario gives the same outcome. */
export function roll(scenario: Scenario): Outcome {
  return new Fleet(scenario).run();
}

type State = 'waiting' | 'asking' | 'atRisk' | 'done' | 'failed' | 'gone';

interface Node {
  readonly id: number;
  readonly name: string;
  readonly watchMs: number;
  state: State;
  requests: number;
}

/** A slot that nobody holds, since one moment. */
interface Opening {
  readonly index: number;
  readonly turn: string;
  readonly sinceMs: number;
  /** After a time away each node hears of it late, by its own reconnecting. */
  readonly hearsLate: boolean;
  askedUpToMs: number;
}

class Fleet {
  readonly #agenda = new Agenda();
  readonly #scenario: Scenario;
  readonly #nodes: Node[] = [];
  #version = 0;
  #held: readonly HeldSlot[] = [];
  #history: { readonly atMs: number; readonly held: readonly HeldSlot[] }[] = [{ atMs: 0, held: [] }];
  readonly #openings = new Map<number, Opening>();
  #atRisk = 0;
  #draws = 0;
  #workMs = 0;
  readonly #limits: { readonly atMs: number; readonly maxUnavailable: number }[];
  readonly #found = {
    doneAtMs: [] as number[],
    mostAtRisk: 0,
    overLimit: 0,
    failedAtMs: [] as number[],
    begunAfterFailureMs: [] as number[],
    conflicts: 0,
    events: 0,
  };

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#limits = [{ atMs: -1e9, maxUnavailable: scenario.maxUnavailable }, ...(scenario.limits ?? [])];
  }

  run(): Outcome {
    const { nodes, limits = [], vanish = [], join = [], away } = this.#scenario;
    this.#join(nodes);
    this.#openWhatMayBeTaken();
    for (const { atMs } of limits) this.#agenda.at(atMs, () => this.#openWhatMayBeTaken());
    for (const { atMs, node } of vanish) this.#agenda.at(atMs, () => this.#vanish(node));
    for (const each of join)
      this.#agenda.at(each.atMs, () => {
        this.#join(each.nodes);
        for (const index of this.#openings.keys()) this.#open(index, false);
      });
    if (away !== undefined) this.#agenda.at(away.untilMs, () => this.#comeBack());
    this.#agenda.run();
    const requests = this.#nodes.map((node) => node.requests);
    const workers = Math.max(...this.#limits.map(({ maxUnavailable }) => maxUnavailable));
    return {
      ...this.#found,
      endedAtMs: this.#found.doneAtMs.at(-1) ?? 0,
      idealMs: this.#workMs / workers,
      requests: {
        mean: requests.reduce((sum, count) => sum + count, 0) / requests.length,
        most: requests.reduce((most, count) => Math.max(most, count), 0),
      },
      stillWaiting: this.#nodes.filter(({ state }) => state === 'waiting').length,
    };
  }

  #join(count: number): void {
    for (let more = 0; more < count; more += 1) {
      const id = this.#nodes.length;
      // A list and a watch, once.
      this.#nodes.push({
        id,
        name: `node-${id}.example`,
        watchMs: this.#between(watchMs),
        state: 'waiting',
        requests: 2,
      });
    }
  }

  /** A slot is open from the moment at which the rules let a node with true knowledge take it. */
  #openWhatMayBeTaken(): void {
    const move = nextMove(this.#held, {
      node: '',
      policies: [policy],
      maxUnavailable: this.#limitAt(this.#agenda.now),
      maxFailed: Number.POSITIVE_INFINITY,
    });
    const free = new Set(move.kind === 'take' ? move.indices : []);
    for (const index of this.#openings.keys()) if (!free.has(index)) this.#openings.delete(index);
    for (const index of free) if (!this.#openings.has(index)) this.#open(index, false);
  }

  #open(index: number, hearsLate: boolean): void {
    this.#version += 1;
    const { now } = this.#agenda;
    const opening = { index, turn: String(this.#version), sinceMs: now, hearsLate, askedUpToMs: -1 };
    this.#openings.set(index, opening);
    this.#plan(opening);
  }

  // Only the nodes whose turn comes before the first one's success is known to all are played: the others would see
  // the slot taken and do nothing. Where the first ones fail, the next are played.
  #plan(opening: Opening): void {
    if (this.#openings.get(opening.index) !== opening) return;
    const waiting = this.#nodes.filter(({ state }) => state === 'waiting' || state === 'asking');
    const turns = waiting.map((node) => this.#turnOf(node, opening));
    let first = Number.POSITIVE_INFINITY;
    for (const turn of turns) if (turn > opening.askedUpToMs && turn < first) first = turn;
    if (first === Number.POSITIVE_INFINITY) return;
    const last = first + watchMs.most + requestMs.most;
    waiting.forEach((node, at) => {
      const turn = turns[at] ?? 0;
      if (turn > opening.askedUpToMs && turn <= last) this.#agenda.at(turn, () => this.#ask(node, opening));
    });
    opening.askedUpToMs = last;
    this.#agenda.at(last + requestMs.most, () => this.#plan(opening));
  }

  #turnOf(node: Node, { index, turn, sinceMs, hearsLate }: Opening): number {
    const late = hearsLate ? reconnectMs * fraction(node.name, 'reconnect', turn) : node.watchMs;
    return sinceMs + late + turnDelay(node.name, `${policy}/${index}`, turn, defaultTurnTiming);
  }

  #ask(node: Node, opening: Opening): void {
    if (node.state !== 'waiting') return;
    const seen = this.#seenBy(node);
    const maxUnavailable = this.#limitKnownTo(node);
    const { maxFailed = 0 } = this.#scenario;
    const move = nextMove(seen, { node: node.name, policies: [policy], maxUnavailable, maxFailed });
    if (move.kind !== 'take' || !move.indices.includes(opening.index)) return;
    node.state = 'asking';
    node.requests += 1;
    const arrives = this.#agenda.now + this.#between(requestMs);
    this.#agenda.at(arrives, () => {
      if (node.state !== 'asking') return;
      node.state = 'waiting';
      if (this.#isAway()) return;
      if (this.#held.some(({ index }) => index === opening.index)) {
        this.#found.conflicts += 1;
        return;
      }
      this.#hold([...this.#held, { policy, index: opening.index, holder: node.name, failure: undefined }]);
      if (this.#held.length > maxUnavailable) this.#found.overLimit += 1;
      this.#begin(node);
    });
  }

  #begin(node: Node): void {
    node.state = 'atRisk';
    this.#atRisk += 1;
    this.#found.mostAtRisk = Math.max(this.#found.mostAtRisk, this.#atRisk);
    if (this.#found.failedAtMs.length > 0) this.#found.begunAfterFailureMs.push(this.#agenda.now);
    // A restart of half a second, probation of 30 s, and what differs from node to node.
    const takesMs = 30_500 + 5_000 * this.#draw();
    this.#workMs += takesMs;
    this.#agenda.at(this.#agenda.now + takesMs, () => {
      if (node.state !== 'atRisk') return;
      const failed = this.#scenario.fails?.(node.id) ?? false;
      node.state = failed ? 'failed' : 'done';
      if (failed) this.#found.failedAtMs.push(this.#agenda.now);
      else {
        this.#atRisk -= 1;
        this.#found.doneAtMs.push(this.#agenda.now);
      }
      this.#settle(node, failed ? 'rolledBack' : 'committed', 0);
    });
  }

  #settle(node: Node, end: 'committed' | 'rolledBack', tries: number): void {
    node.requests += 1;
    this.#agenda.at(this.#agenda.now + this.#between(requestMs), () => {
      if (node.state === 'gone') return;
      if (this.#isAway()) {
        const backOff = Math.min(1_000 * 2 ** tries, reconnectMs) * (0.5 + this.#draw() / 2);
        this.#agenda.at(this.#agenda.now + backOff, () => this.#settle(node, end, tries + 1));
        return;
      }
      const own = this.#held.find(({ holder }) => holder === node.name);
      if (own === undefined) return;
      const others = this.#held.filter((slot) => slot !== own);
      const free = afterEnd(end, own) === 'free';
      this.#hold(free ? others : [...others, { ...own, failure: 'KUBELET_EXITED' }]);
    });
  }

  #vanish(which: number | 'holder'): void {
    const holder = this.#held[0]?.holder;
    const node = which === 'holder' ? this.#nodes.find(({ name }) => name === holder) : this.#nodes[which];
    if (node === undefined) return;
    if (node.state === 'atRisk' || node.state === 'failed') this.#atRisk -= 1;
    node.state = 'gone';
    this.#agenda.at(this.#agenda.now + collectMs, () => {
      const own = this.#held.find(({ holder: name }) => name === node.name);
      if (own === undefined) return;
      this.#hold(this.#held.filter((slot) => slot !== own));
    });
  }

  #comeBack(): void {
    for (const node of this.#nodes) if (node.state === 'waiting') node.requests += 2;
    for (const index of this.#openings.keys()) this.#open(index, true);
  }

  #hold(held: readonly HeldSlot[]): void {
    this.#held = held;
    const { now } = this.#agenda;
    this.#history = [
      ...this.#history.filter(
        ({ atMs }, at, all) => (all[at + 1]?.atMs ?? now) >= now - watchMs.most || atMs > now - watchMs.most,
      ),
      { atMs: now, held },
    ];
    for (const { state } of this.#nodes)
      if (state === 'waiting' || state === 'asking') this.#found.events += 1;
    this.#openWhatMayBeTaken();
  }

  #seenBy(node: Node): readonly HeldSlot[] {
    const seenAt = this.#agenda.now - node.watchMs;
    return this.#history.findLast(({ atMs }) => atMs <= seenAt)?.held ?? [];
  }

  #limitKnownTo(node: Node): number {
    return this.#limitAt(this.#agenda.now - node.watchMs);
  }

  #limitAt(ms: number): number {
    return this.#limits.findLast(({ atMs }) => atMs <= ms)?.maxUnavailable ?? 1;
  }

  #isAway(): boolean {
    const { away } = this.#scenario;
    const { now } = this.#agenda;
    return away !== undefined && now >= away.fromMs && now < away.untilMs;
  }

  #between({ least, most }: { readonly least: number; readonly most: number }): number {
    return least + (most - least) * this.#draw();
  }

  #draw(): number {
    this.#draws += 1;
    return fraction(this.#scenario.seed ?? 'fleet', String(this.#draws));
  }
}
