/** What happens when, in simulated milliseconds; things of one moment happen in the order in which they were planned. */
export class Agenda {
  readonly #heap: Entry[] = [];
  #planned = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  at(ms: number, action: () => void): void {
    this.#planned += 1;
    const entry = { ms: Math.max(ms, this.#now), order: this.#planned, action };
    let child = this.#heap.push(entry) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!this.#isBefore(child, parent)) break;
      this.#swap(child, parent);
      child = parent;
    }
  }

  /** Runs until nothing is planned, or until the end is reached. */
  run(untilMs = Number.POSITIVE_INFINITY): void {
    for (let next = this.#heap[0]; next !== undefined && next.ms <= untilMs; next = this.#heap[0]) {
      this.#removeFirst();
      this.#now = next.ms;
      next.action();
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    let parent = 0;
    for (;;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === parent) return;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || other === undefined) return false;
    return one.ms === other.ms ? one.order < other.order : one.ms < other.ms;
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || other === undefined) return;
    this.#heap[a] = other;
    this.#heap[b] = one;
  }
}

interface Entry {
  readonly ms: number;
  readonly order: number;
  readonly action: () => void;
}
