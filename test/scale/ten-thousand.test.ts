import t from 'tap';
import { roll } from './support/fleet.ts';

/** Bounds that hold for every limit, and that docs/rollout.md states. */
const bounds = { overIdeal: 1.3, meanRequests: 6, mostRequests: 25 } as const;

for (const maxUnavailable of [1, 20, 500]) {
  void t.test(`10,000 nodes, ${maxUnavailable} at a time`, (t) => {
    const outcome = roll({ nodes: 10_000, maxUnavailable });
    t.equal(outcome.doneAtMs.length, 10_000);
    t.equal(outcome.mostAtRisk, maxUnavailable);
    t.equal(outcome.overLimit, 0);
    t.ok(outcome.endedAtMs <= bounds.overIdeal * outcome.idealMs, `ideal ${outcome.idealMs} ms`);
    t.ok(outcome.requests.mean <= bounds.meanRequests, `${outcome.requests.mean} requests a node`);
    t.ok(outcome.requests.most <= bounds.mostRequests, `${outcome.requests.most} requests of one node`);
    t.comment(
      [
        `${(outcome.endedAtMs / outcome.idealMs).toFixed(3)} x ideal`,
        `${outcome.requests.mean.toFixed(2)} requests a node (most ${outcome.requests.most})`,
        `${outcome.conflicts} conflicts`,
        `${outcome.events} watch events`,
      ].join(', '),
    );
    t.end();
  });
}
