import { test } from 'tap';
import { settleSlot } from '../../../agent/cli/apply-slots.ts';
import type { SlotConnection } from '../../../agent/cluster/connect-slots.ts';
import type { ApplyOutcome } from '../../../agent/engine/apply.ts';
import { planFor, policyOf, runningNode } from '../plan/support/node.ts';

async function endOf(outcome: ApplyOutcome): Promise<readonly string[]> {
  const told: string[] = [];
  const gate: SlotConnection['gate'] = {
    acquire: async () => Promise.resolve({ kind: 'granted', slot: undefined }),
    settle: async (end) => Promise.resolve(void told.push(end)),
    settled: async () => Promise.resolve(),
    holds: () => false,
    view: () => ({ kind: 'none' }),
    close: () => undefined,
  };
  const node = { name: 'a', uid: 'u', labels: {}, retry: undefined, taints: null };
  await settleSlot({ gate, node, close: () => undefined }, outcome, new AbortController().signal);
  return told;
}

void test('a node that needs no change ends an earlier failure only where its kubelet is well', async (t) => {
  const unit = '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=kernel.sem\n';
  const observed = await runningNode({ '/etc/systemd/system/kubelet.service': unit });
  const outcome = planFor(observed, policyOf(['kernel.sem']));
  const converged = (health: 'ok' | 'unhealthy'): ApplyOutcome => ({
    kind: 'converged',
    planned: { observed: { ...observed, health }, outcome },
    recovered: { kind: 'nothing' },
  });
  t.equal(outcome.kind, 'converged');
  t.strictSame(await endOf(converged('ok')), ['converged']);
  t.strictSame(await endOf(converged('unhealthy')), ['refused']);
});
