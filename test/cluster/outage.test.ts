import t from 'tap';
import { slotGate } from '../../agent/cluster/slot-gate.ts';
import { leaseSlots } from '../../agent/cluster/slots.ts';
import { field, list, text } from '../../agent/cluster/objects.ts';
import { namespace, startApi, type TestApi, until } from './support/api.ts';
import { hastyClock } from './support/clock.ts';

const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
const request = {
  unit: 'kubelet.service',
  planHash: 'x',
  maxUnavailable: 1,
  maxFailed: 0,
  policies: ['web'],
};
const never = new AbortController().signal;

let api: TestApi;
t.before(async () => {
  api = await startApi();
});
t.after(async () => api.close());

async function gateOf(
  name: string,
): Promise<ReturnType<typeof slotGate> & { warnings: string[]; end: () => void }> {
  const node = await api.admin.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
  });
  const uid = text(field(node, 'metadata'), 'uid') ?? '';
  const client = api.client();
  const clock = hastyClock();
  const warnings: string[] = [];
  const slots = leaseSlots({
    client,
    clock,
    random: Math.random,
    namespace,
    node: { name, uid: async () => Promise.resolve(uid) },
  });
  const gate = slotGate({
    slots,
    clock,
    random: Math.random,
    node: name,
    warn: (message) => warnings.push(message),
  });
  const end = (): void => {
    gate.close();
    client.close();
  };
  return { ...gate, warnings, end };
}

void t.test(
  'the API server away: who is at risk ends its work, the slot is told once it is back, the next one follows',
  async (t) => {
    const [holder, waiter] = [await gateOf('holder'), await gateOf('waiter')];
    t.equal((await holder.acquire(request, never)).kind, 'granted');
    const waiting = waiter.acquire(request, never);
    await until(() => waiter.view().kind === 'waiting');
    await api.outage(async () => {
      // Returns although nobody can be told: the node is watched on.
      await holder.settle('committed');
      await until(() => holder.warnings.length > 0 && waiter.warnings.length > 0);
      t.equal(waiter.view().kind, 'waiting');
    });
    t.equal((await waiting).kind, 'granted');
    await waiter.settle('committed');
    await until(async () => list(field(await api.admin.get(leases), 'items')).length === 0);
    t.pass('no slot is left');
    holder.end();
    waiter.end();
  },
);

void t.test(
  'a failure that could not be told while the API server was away still stops the fleet',
  async (t) => {
    const [holder, waiter] = [await gateOf('holder-2'), await gateOf('waiter-2')];
    await holder.acquire(request, never);
    await api.outage(async () => {
      await holder.settle('rolledBack');
    });
    t.match(await waiter.acquire({ ...request, maxUnavailable: 1 }, AbortSignal.timeout(60_000)), {
      kind: 'halted',
      by: 'holder-2',
    });
    holder.end();
    waiter.end();
  },
);

// Without this the servers, which outlive the tests, would keep the file from ending.
t.end();
