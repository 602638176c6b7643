import type { Bus, BusSignal } from './bus.ts';
import { BusError } from './bus.ts';

const systemd = 'org.freedesktop.systemd1';
const managerPath = '/org/freedesktop/systemd1';
const managerInterface = 'org.freedesktop.systemd1.Manager';

/** What systemd tells of one unit without being asked. */
export interface UnitWatch {
  /** Whether systemd was told to send its signals on the present connection. */
  readonly up: boolean;
  close(): Promise<void>;
}

/**
 * Calls back when the unit's properties change, when it is loaded or unloaded, when a daemon-reload ends, and when the
 * bus connection is back after it was lost (whatever happened meanwhile was missed). Signals of other units stay with
 * the bus daemon: a busy node has thousands of scopes. @throws BusError where the bus does not take the subscription.
 */
export async function watchUnit(
  bus: Bus,
  unit: string,
  noticed: () => void,
  options: { readonly deadlineMs: number },
): Promise<UnitWatch> {
  const ask = async (member: string, signature?: string, body?: readonly unknown[]): Promise<unknown> =>
    bus.call(
      {
        destination: systemd,
        path: managerPath,
        interface: managerInterface,
        member,
        ...(signature === undefined ? {} : { signature, body: body ?? [] }),
      },
      { deadlineMs: options.deadlineMs },
    );
  // systemd sends no signals of a unit that nobody ever asked for; the answer leads from an alias to the unit itself.
  const load = async (): Promise<unknown> => ask('LoadUnit', 's', [unit]);
  const answered = await load();
  const unitPath = typeof answered === 'string' ? answered : '';
  const deliver = (signal: BusSignal): void => {
    if (concerns(signal, unit, unitPath)) noticed();
  };
  const state = { up: false, closed: false };
  const rules = [
    `type='signal',sender='${systemd}',path='${unitPath}',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'`,
    `type='signal',sender='${systemd}',path='${managerPath}',interface='${managerInterface}',member='UnitNew',arg0='${unit}'`,
    `type='signal',sender='${systemd}',path='${managerPath}',interface='${managerInterface}',member='UnitRemoved',arg0='${unit}'`,
    `type='signal',sender='${systemd}',path='${managerPath}',interface='${managerInterface}',member='Reloading'`,
    `type='signal',sender='${systemd}',path='${managerPath}',interface='${managerInterface}',member='UnitFilesChanged'`,
  ];
  const subscriptions: { close(): Promise<void> }[] = [];
  for (const rule of rules) subscriptions.push(await bus.subscribe(rule, deliver));
  const subscribe = async (): Promise<void> => {
    state.up = false;
    try {
      await ask('Subscribe');
    } catch (error) {
      if (!(error instanceof BusError) || !error.reason.endsWith('AlreadySubscribed')) throw error;
    }
    await load();
    state.up = true;
  };
  await subscribe();
  bus.onReconnected(() => {
    if (state.closed) return;
    subscribe().then(noticed, noticed);
  });
  return {
    get up() {
      return state.up;
    },
    async close() {
      state.closed = true;
      for (const subscription of subscriptions) await subscription.close();
    },
  };
}

function concerns(signal: BusSignal, unit: string, unitPath: string): boolean {
  switch (signal.member) {
    case 'PropertiesChanged':
      return signal.path === unitPath;
    case 'UnitNew':
    case 'UnitRemoved':
      return signal.body[0] === unit;
    case 'Reloading':
      // true when it begins: there is nothing to see yet.
      return signal.body[0] === false;
    case 'UnitFilesChanged':
      return true;
    default:
      return false;
  }
}
