import { AgentError } from '../errors.ts';
import { type Bus, BusError } from './bus.ts';
import { asString } from './bus-values.ts';

export const manager = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
} as const;
export const properties = 'org.freedesktop.DBus.Properties';
export const unitInterface = 'org.freedesktop.systemd1.Unit';
export const serviceInterface = 'org.freedesktop.systemd1.Service';

/** Questions to systemd's manager and to the properties of a unit, each with a deadline. @throws BusError. */
export interface SystemdCalls {
  /** A method of the manager; `ms` where it may take longer than a plain question. */
  readonly ask: (
    member: string,
    signature?: string,
    body?: readonly unknown[],
    ms?: number,
  ) => Promise<unknown>;
  /** The object of a unit, loaded where it was not. */
  readonly unitPath: (unit: string) => Promise<string>;
  readonly property: (path: string, iface: string, name: string) => Promise<unknown>;
  /** Undefined where this systemd does not know the property. */
  readonly optional: (path: string, iface: string, name: string) => Promise<unknown>;
}

export function systemdCalls(bus: Bus, deadlineMs: number): SystemdCalls {
  const ask = async (
    member: string,
    signature?: string,
    body?: readonly unknown[],
    ms = deadlineMs,
  ): Promise<unknown> =>
    bus.call(
      { ...manager, member, ...(signature === undefined ? {} : { signature, body: body ?? [] }) },
      { deadlineMs: ms },
    );

  const unitPath = async (unit: string): Promise<string> => asString(await ask('LoadUnit', 's', [unit]));

  const property = async (path: string, iface: string, name: string): Promise<unknown> =>
    bus.call(
      {
        destination: manager.destination,
        path,
        interface: properties,
        member: 'Get',
        signature: 'ss',
        body: [iface, name],
      },
      { deadlineMs },
    );

  const optional = async (path: string, iface: string, name: string): Promise<unknown> => {
    try {
      return await property(path, iface, name);
    } catch (error) {
      if (error instanceof BusError && /UnknownProperty|UnknownInterface|InvalidArgs/.test(error.reason))
        return undefined;
      throw error;
    }
  };

  return { ask, unitPath, property, optional };
}

/** systemd sends its signals only to clients that asked; asking twice on one connection is answered with an error. */
export async function subscribeManager({ ask }: SystemdCalls): Promise<void> {
  try {
    await ask('Subscribe');
  } catch (error) {
    if (!(error instanceof BusError) || !/AlreadySubscribed/.test(error.reason)) throw error;
  }
}

/** What a call that failed or was not answered in time becomes: an error with a code, saying what was tried. */
export async function callOr<T>(
  code: 'SYSTEMD_CALL_FAILED' | 'RELOAD_FAILED' | 'WATCHDOG_NOT_ARMED',
  what: string,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof BusError) {
      throw new AgentError(
        code,
        `${what}: ${cause.reason === 'timeout' ? 'systemd did not answer in time' : cause.message}`,
        { cause },
      );
    }
    throw cause;
  }
}
