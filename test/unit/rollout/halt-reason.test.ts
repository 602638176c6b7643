import t from 'tap';
import { haltReason } from '../../../agent/rollout/halt-reason.ts';
import type { HeldSlot } from '../../../agent/rollout/slot-rules.ts';

const slot = (holder: string, index: number): HeldSlot => ({
  policy: 'web',
  index,
  holder,
  failure: 'rolledBack',
});
const said = (failed: readonly HeldSlot[], maxFailed: number, maxUnavailable: number): string =>
  haltReason({ kind: 'halt', policy: 'web', failed, giveBack: [] }, { maxFailed, maxUnavailable });

void t.test('a halt says how many failed nodes the policy bears, and names them in order', async (t) => {
  t.equal(
    said([slot('node-2', 1), slot('node-1', 0)], 0, 5),
    'the rollout of policy web bears no failed node, and these failed: node-1 (rolledBack), node-2 (rolledBack)',
  );
  t.match(said([slot('a', 0), slot('b', 1)], 1, 5), 'bears 1 failed node, and these');
});

void t.test(
  'where more failures are borne than there are slots, the halt says that no slot is left',
  async (t) => {
    t.equal(
      said([slot('node-1', 0)], 3, 1),
      'no slot of policy web is left (maxUnavailable: 1): these failed and keep theirs: node-1 (rolledBack)',
    );
  },
);
