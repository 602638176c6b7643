import { createClient, type Message, type MessageBus } from 'dbus-native';
import { AgentError } from '../errors.ts';

/** One method call. `body` follows `signature`; 64-bit values are bigint, both ways. */
export interface BusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
}

export interface BusSignal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly unknown[];
}

/** The error a call ended with: the peer's own error name, or `timeout`, or `closed`. */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly reason: string;

  constructor(reason: string, message: string, cause: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** The one home of dbus-native: calls with deadlines, and signals by match rule. */
export interface Bus {
  /** @throws BusError always within `deadlineMs`: a call without an answer is an error, never a success. */
  call(call: BusCall, options: { deadlineMs: number; signal?: AbortSignal }): Promise<unknown>;
  /** Delivers matching signals until closed; the rule is put back after a reconnect. */
  subscribe(rule: string, deliver: (signal: BusSignal) => void): Promise<{ close(): Promise<void> }>;
  /** Called when the connection was lost and is back; nothing in flight was repeated. */
  onReconnected(callback: () => void): void;
  close(): Promise<void>;
}

/**
 * Connects to the bus daemon's socket.
 * @throws AgentError SYSTEMD_UNREACHABLE where nothing answers within `deadlineMs`.
 */
export async function connectBus(
  socketPath: string,
  options: { deadlineMs: number; reconnect: boolean },
): Promise<Bus> {
  const client = createClient({
    socket: socketPath,
    authMethods: ['EXTERNAL'],
    timeout: options.deadlineMs,
    ...(options.reconnect ? { reconnect: true } : {}),
  });
  // Without a listener an error of the transport would end the process; the calls in flight report it.
  client.connection.on('error', () => undefined);
  client.on('reconnectError', () => undefined);
  const bus = wrap(client);
  try {
    await bus.call(
      {
        destination: 'org.freedesktop.DBus',
        path: '/org/freedesktop/DBus',
        interface: 'org.freedesktop.DBus',
        member: 'GetId',
      },
      { deadlineMs: options.deadlineMs },
    );
    return bus;
  } catch (cause) {
    await bus.close();
    throw new AgentError(
      'SYSTEMD_UNREACHABLE',
      `no answer on the D-Bus socket ${socketPath}: ${messageOf(cause)}`,
      {
        cause,
        next: 'check that the host runs systemd and dbus, and that /run/dbus is mounted into the pod',
      },
    );
  }
}

function wrap(client: MessageBus): Bus {
  const listeners = new Set<(signal: BusSignal) => void>();
  client.connection.on('message', (message: Message) => {
    if (message.type !== 4) return;
    const signal: BusSignal = {
      path: message.path ?? '',
      interface: message.interface ?? '',
      member: message.member ?? '',
      body: message.body ?? [],
    };
    for (const deliver of listeners) deliver(signal);
  });

  return {
    async call(call, { deadlineMs, signal }) {
      try {
        return await withDeadline(
          client.invoke(
            {
              destination: call.destination,
              path: call.path,
              interface: call.interface,
              member: call.member,
              ...(call.signature === undefined
                ? {}
                : { signature: call.signature, body: [...(call.body ?? [])] }),
            },
            { timeout: deadlineMs, ...(signal === undefined ? {} : { signal }) },
          ),
          deadlineMs,
        );
      } catch (cause) {
        throw new BusError(reasonOf(cause), `${call.interface}.${call.member}: ${messageOf(cause)}`, cause);
      }
    },
    async subscribe(rule, deliver) {
      listeners.add(deliver);
      try {
        const subscription = await client.watch(rule);
        return {
          async close() {
            listeners.delete(deliver);
            // The bus drops the rules of a connection that is gone.
            await subscription.remove().catch(() => undefined);
          },
        };
      } catch (cause) {
        listeners.delete(deliver);
        throw new BusError(reasonOf(cause), `AddMatch: ${messageOf(cause)}`, cause);
      }
    },
    onReconnected(callback) {
      client.on('reconnected', callback);
    },
    async close() {
      listeners.clear();
      client.connection.end();
      // Not waiting for the daemon's side: one that hangs would keep this process alive.
      client.connection.stream.destroy();
      await Promise.resolve();
    },
  };
}

/** The library's own deadline starts when the call is written; a bus that never finished the handshake needs ours. */
async function withDeadline(pending: PromiseLike<unknown>, deadlineMs: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error(`no answer within ${deadlineMs} ms`), { code: 'ETIMEDOUT' }));
    }, deadlineMs + 50);
  });
  try {
    return await Promise.race([pending, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The library names its own errors as a peer would: a deadline as NoReply, a lost connection as Disconnected. */
const silences: ReadonlySet<unknown> = new Set(['NoReply', 'Timeout', 'TimedOut']);

function reasonOf(error: unknown): string {
  if (typeof error === 'object' && error !== null) {
    if ('code' in error && error.code === 'ETIMEDOUT') return 'timeout';
    if ('code' in error && error.code === 'ABORT_ERR') return 'aborted';
    if ('dbusName' in error && typeof error.dbusName === 'string') {
      const name = /^org\.freedesktop\.DBus\.Error\.(\w+)$/.exec(error.dbusName)?.[1];
      if (silences.has(name)) return 'timeout';
      return name === 'Disconnected' ? 'closed' : error.dbusName;
    }
  }
  return 'closed';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
