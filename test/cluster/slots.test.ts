import t, { type Test as TapTest } from 'tap';
import { field, list, text } from '../../agent/cluster/objects.ts';
import { type SlotGate, type SlotGateOptions, slotGate } from '../../agent/cluster/slot-gate.ts';
import { leaseSlots } from '../../agent/cluster/slots.ts';
import { namespace, startApi, type TestApi, until } from './support/api.ts';
import { hastyClock } from './support/clock.ts';

const leases = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
const never = new AbortController().signal;

let api: TestApi;
t.before(async () => {
  api = await startApi();
});
t.after(async () => api.close());

let fleets = 0;

/** Some nodes of a fleet of their own, with one gate each. */
async function fleetOf(
  t: TapTest,
  count: number,
  over: Partial<SlotGateOptions> = {},
): Promise<readonly Member[]> {
  fleets += 1;
  const policy = `web-${fleets}`;
  const members: Member[] = [];
  for (let at = 0; at < count; at += 1) {
    const name = `n${at}.fleet-${fleets}`;
    const node = await api.admin.create('/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
    });
    const uid = text(field(node, 'metadata'), 'uid') ?? '';
    members.push(member(t, policy, { name, uid }, over));
  }
  return members;
}

interface Member {
  readonly policy: string;
  readonly name: string;
  readonly uid: string;
  readonly gate: SlotGate;
  readonly warnings: string[];
  readonly requests: () => number;
  request(
    over?: Partial<{ maxUnavailable: number; maxFailed: number; policies: readonly string[] }>,
  ): Parameters<SlotGate['acquire']>[0];
}

function member(
  t: TapTest,
  policy: string,
  node: { name: string; uid: string },
  over: Partial<SlotGateOptions> = {},
): Member {
  const client = api.client();
  const clock = hastyClock();
  const warnings: string[] = [];
  const gate = slotGate({
    slots: leaseSlots({
      client,
      clock,
      random: Math.random,
      namespace,
      node: { name: node.name, uid: async () => Promise.resolve(node.uid) },
    }),
    clock,
    random: Math.random,
    node: node.name,
    warn: (message) => warnings.push(message),
    ...over,
  });
  t.teardown(() => {
    gate.close();
    client.close();
  });
  return {
    policy,
    ...node,
    gate,
    warnings,
    requests: () => client.requests(),
    request: (wish = {}) => ({
      unit: 'kubelet.service',
      planHash: 'abc',
      maxUnavailable: 1,
      maxFailed: 0,
      policies: [policy],
      ...wish,
    }),
  };
}

async function heldOf(policy: string): Promise<readonly unknown[]> {
  const all = await api.admin.get(`${leases}?labelSelector=sysctl-agent.dev%2Fslot-of%3D${policy}`);
  return list(field(all, 'items'));
}

const at = <T>(members: readonly T[], index: number): T => {
  const found = members[index];
  if (found === undefined) throw new Error(`no member ${index}`);
  return found;
};

void t.test('a granted slot is a Lease that says who holds it, since when, and why', async (t) => {
  const [one] = await fleetOf(t, 1);
  if (one === undefined) return;
  t.strictSame(await one.gate.acquire(one.request(), never), {
    kind: 'granted',
    slot: `slot.${one.policy}.0`,
  });
  t.strictSame(one.gate.view(), { kind: 'held', slots: [`slot.${one.policy}.0`] });
  const [lease] = await heldOf(one.policy);
  const meta = field(lease, 'metadata');
  t.equal(text(field(lease, 'spec'), 'holderIdentity'), one.name);
  t.ok(Date.parse(text(field(lease, 'spec'), 'acquireTime') ?? '') > 0);
  t.match(field(meta, 'annotations'), {
    'sysctl-agent.dev/plan-hash': 'abc',
    'sysctl-agent.dev/unit': 'kubelet.service',
  });
  t.match(field(meta, 'ownerReferences'), [{ kind: 'Node', name: one.name, uid: one.uid }]);
  await one.gate.settle('committed');
  t.strictSame(await heldOf(one.policy), []);
  t.strictSame(one.gate.view(), { kind: 'none' });
});

void t.test('twelve nodes pass through three slots, never more than three at once', async (t) => {
  const members = await fleetOf(t, 12);
  let atRisk = 0;
  let most = 0;
  const pass = async (member: Member): Promise<void> => {
    const grant = await member.gate.acquire(member.request({ maxUnavailable: 3 }), never);
    t.equal(grant.kind, 'granted');
    atRisk += 1;
    most = Math.max(most, atRisk);
    await hastyClock().sleep(2_000 + 2_000 * Math.random());
    atRisk -= 1;
    await member.gate.settle('committed');
  };
  await Promise.all(members.map(pass));
  t.ok(most > 1 && most <= 3, String(most));
  const [policy = ''] = members.map((each) => each.policy);
  t.strictSame(await heldOf(policy), []);
  const requests = members.map((each) => each.requests());
  // List, watch, take, list of its own once after a start, free; and one for each conflict, of which hasty time has many.
  t.ok(
    requests.every((count) => count >= 5 && count <= 25),
    requests.join(' '),
  );
  t.comment(`requests a node: ${requests.join(' ')}`);
});

void t.test(
  'a failed node keeps its slot, stops the others and is named to them; its own success lets them go on',
  async (t) => {
    const members = await fleetOf(t, 2);
    const [bad, good] = [at(members, 0), at(members, 1)];
    await bad.gate.acquire(bad.request(), never);
    await bad.gate.settle('rolledBack');
    t.strictSame(await good.gate.acquire(good.request(), never), {
      kind: 'halted',
      by: bad.name,
      reason: `the rollout of policy ${bad.policy} bears no failed node, and these failed: ${bad.name} (rolledBack)`,
    });
    t.strictSame(good.gate.view(), { kind: 'halted', policy: good.policy, by: [bad.name] });
    const asked = good.requests();
    t.equal((await good.gate.acquire(good.request(), never)).kind, 'halted');
    t.equal(good.requests(), asked, 'asking again while halted costs no request');
    t.equal((await bad.gate.acquire(bad.request(), never)).kind, 'granted', 'it may try another plan');
    await bad.gate.settle('committed');
    let waited = 0;
    await until(
      async () => (await good.gate.acquire(good.request(), never, () => (waited += 1))).kind === 'granted',
    );
    t.ok(waited > 0, 'it says that it is no longer halted before it is granted');
    await good.gate.settle('committed');
  },
);

void t.test('a refusal gives the slot back, but not that of a node that failed before', async (t) => {
  const [one] = await fleetOf(t, 1);
  if (one === undefined) return;
  await one.gate.acquire(one.request(), never);
  await one.gate.settle('refused');
  t.equal((await heldOf(one.policy)).length, 0);
  await one.gate.acquire(one.request(), never);
  await one.gate.settle('broken');
  await one.gate.settle('refused');
  t.equal((await heldOf(one.policy)).length, 1);
  await one.gate.settle('converged');
  t.equal((await heldOf(one.policy)).length, 0);
});

void t.test('an agent that died at risk finds its own slot again and settles it', async (t) => {
  const [first] = await fleetOf(t, 1);
  if (first === undefined) return;
  await first.gate.acquire(first.request(), never);
  first.gate.close();
  const second = member(t, first.policy, first);
  t.equal((await second.gate.acquire(second.request(), never)).kind, 'granted');
  t.equal((await heldOf(first.policy)).length, 1);
  second.gate.close();
  const third = member(t, first.policy, first);
  await third.gate.settle('committed');
  t.equal((await heldOf(first.policy)).length, 0);
});

void t.test(
  'a limit that was lowered lets the holders finish; one that was raised is used at once',
  async (t) => {
    const members = await fleetOf(t, 4);
    const [a, b, c, d] = [at(members, 0), at(members, 1), at(members, 2), at(members, 3)];
    await a.gate.acquire(a.request({ maxUnavailable: 2 }), never);
    await b.gate.acquire(b.request({ maxUnavailable: 2 }), never);
    const waiting = c.gate.acquire(c.request({ maxUnavailable: 1 }), never);
    await until(() => c.gate.view().kind === 'waiting');
    t.equal((await d.gate.acquire(d.request({ maxUnavailable: 3 }), never)).kind, 'granted');
    t.equal((await heldOf(a.policy)).length, 3);
    t.equal(c.gate.view().kind, 'waiting');
    for (const each of [a, b, d]) await each.gate.settle('committed');
    t.equal((await waiting).kind, 'granted');
  },
);

void t.test(
  'a node of two policies holds a slot of each, and gives the first back when the second is halted',
  async (t) => {
    const members = await fleetOf(t, 3);
    const [one, bad, other] = [at(members, 0), at(members, 1), at(members, 2)];
    const [first, second] = [`a-${one.policy}`, `b-${one.policy}`];
    await one.gate.acquire(one.request({ policies: [second, first] }), never);
    t.equal((await heldOf(first)).length, 1);
    t.equal((await heldOf(second)).length, 1);
    await one.gate.settle('committed');
    await bad.gate.acquire(bad.request({ policies: [second] }), never);
    const waiting = one.gate.acquire(one.request({ policies: [first, second] }), never);
    await until(async () => (await heldOf(first)).length === 1);
    await bad.gate.settle('broken');
    t.match(await waiting, { kind: 'halted', by: bad.name });
    t.equal((await heldOf(first)).length, 0);
    t.equal((await other.gate.acquire(other.request({ policies: [first] }), never)).kind, 'granted');
  },
);

void t.test(
  'the slot of a node whose Node was deleted becomes free, though that node had failed',
  async (t) => {
    const members = await fleetOf(t, 2);
    const [gone, next] = [at(members, 0), at(members, 1)];
    await gone.gate.acquire(gone.request(), never);
    const waiting = next.gate.acquire(next.request(), never);
    await until(() => next.gate.view().kind === 'waiting');
    await api.admin.remove(`/api/v1/nodes/${gone.name}`);
    t.equal((await waiting).kind, 'granted');
    const [lease] = await heldOf(gone.policy);
    t.equal(text(field(lease, 'spec'), 'holderIdentity'), next.name);
    t.match(field(field(lease, 'metadata'), 'ownerReferences'), [{ uid: next.uid }]);
  },
);

void t.test('a node that was made anew under its old name binds its slot to the new Node', async (t) => {
  const [old] = await fleetOf(t, 1);
  if (old === undefined) return;
  await old.gate.acquire(old.request(), never);
  const young = member(t, old.policy, { name: old.name, uid: 'ffffffff-0000-4000-8000-000000000000' });
  t.equal((await young.gate.acquire(young.request(), never)).kind, 'granted');
  const [lease] = await heldOf(old.policy);
  t.match(field(field(lease, 'metadata'), 'ownerReferences'), [{ uid: young.uid }]);
});

void t.test('what must be true before the node is at risk is awaited with the slot in hand', async (t) => {
  const order: string[] = [];
  const [one] = await fleetOf(t, 1, {
    beforeGrant: async () => {
      order.push(`before, ${(await heldOf(`web-${fleets}`)).length} held`);
    },
  });
  if (one === undefined) return;
  await one.gate.acquire(one.request(), never);
  order.push('granted');
  t.strictSame(order, ['before, 1 held', 'granted']);
});

void t.test('an aborted wait ends with the reason, and leaves nothing behind', async (t) => {
  const members = await fleetOf(t, 2);
  const [holder, waiter] = [at(members, 0), at(members, 1)];
  await holder.gate.acquire(holder.request(), never);
  const stop = new AbortController();
  const waiting = waiter.gate.acquire(waiter.request(), stop.signal);
  await until(() => waiter.gate.view().kind === 'waiting');
  stop.abort(new Error('the policy changed'));
  await t.rejects(waiting, { message: 'the policy changed' });
  t.equal((await heldOf(holder.policy)).length, 1);
});

// Without this the servers, which outlive the tests, would keep the file from ending.
t.end();
