import { test } from 'tap';
import { type Bus, BusError, type BusSignal } from '../../agent/host/bus.ts';
import { watchUnit } from '../../agent/host/unit-watch.ts';

const unitPath = '/org/freedesktop/systemd1/unit/kubelet_2eservice';
const managerInterface = 'org.freedesktop.systemd1.Manager';
const managerPath = '/org/freedesktop/systemd1';

interface FakeBus extends Bus {
  readonly members: string[];
  readonly rules: Set<string>;
  send(signal: BusSignal): void;
  /** The connection was lost and is back; with `refuse` systemd does not take the subscription. */
  reconnect(refuse?: boolean): Promise<void>;
}

function fakeBus(): FakeBus {
  const deliveries = new Set<(signal: BusSignal) => void>();
  const members: string[] = [];
  const rules = new Set<string>();
  let reconnected: () => void = () => undefined;
  let refusing = false;
  return {
    members,
    rules,
    async call({ member }) {
      members.push(member);
      if (member === 'Subscribe') {
        if (refusing) throw new BusError('closed', 'Subscribe: closed', undefined);
        throw new BusError('org.freedesktop.systemd1.AlreadySubscribed', 'Subscribe: already', undefined);
      }
      return Promise.resolve(unitPath);
    },
    async subscribe(rule, deliver) {
      rules.add(rule);
      deliveries.add(deliver);
      return Promise.resolve({
        close: async () => {
          rules.delete(rule);
          return Promise.resolve();
        },
      });
    },
    onReconnected(callback) {
      reconnected = callback;
    },
    close: async () => Promise.resolve(),
    send(signal) {
      for (const deliver of deliveries) deliver(signal);
    },
    async reconnect(refuse = false) {
      refusing = refuse;
      reconnected();
      // The subscription is asked for again in a few turns of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

void test('what concerns the unit is noticed, and nothing else', async (t) => {
  const bus = fakeBus();
  let noticed = 0;
  const watch = await watchUnit(bus, 'kubelet.service', () => (noticed += 1), { deadlineMs: 1000 });
  t.equal(watch.up, true, 'to have been subscribed before is as good');
  const told = (signal: Partial<BusSignal>): boolean => {
    const before = noticed;
    bus.send({ path: managerPath, interface: managerInterface, member: '', body: [], ...signal });
    return noticed > before;
  };
  t.equal(told({ path: unitPath, member: 'PropertiesChanged' }), true);
  t.equal(told({ path: `${unitPath}x`, member: 'PropertiesChanged' }), false);
  t.equal(told({ member: 'UnitNew', body: ['kubelet.service', unitPath] }), true);
  t.equal(told({ member: 'UnitRemoved', body: ['cri-containerd-1.scope', ''] }), false);
  t.equal(told({ member: 'Reloading', body: [true] }), false, 'a reload that begins shows nothing yet');
  t.equal(told({ member: 'Reloading', body: [false] }), true);
  t.equal(told({ member: 'JobNew' }), false);
  t.ok(
    [...bus.rules]
      .filter((rule) => /UnitNew|UnitRemoved/.test(rule))
      .every((rule) => rule.includes("arg0='kubelet.service'")),
    'other units stay with the bus',
  );
  await watch.close();
  t.equal(bus.rules.size, 0);
});

void test('a connection that is back is subscribed again, and counts as a notice', async (t) => {
  const bus = fakeBus();
  let noticed = 0;
  const watch = await watchUnit(bus, 'kubelet.service', () => (noticed += 1), { deadlineMs: 1000 });
  bus.members.length = 0;
  await bus.reconnect();
  t.same(bus.members, ['Subscribe', 'LoadUnit']);
  t.equal(noticed, 1);
  t.equal(watch.up, true);
  await bus.reconnect(true);
  t.equal(watch.up, false, 'systemd does not tell any more');
  t.ok(noticed >= 2, 'so the node is looked at');
});
