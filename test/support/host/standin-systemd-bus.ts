import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createBroker, createClient, type Message } from 'dbus-native';

export const managerPath = '/org/freedesktop/systemd1';
export const unitPath = '/org/freedesktop/systemd1/unit/kubelet_2eservice';
const managerInterface = 'org.freedesktop.systemd1.Manager';

/** Gives the reply's value, or throws; one that never settles is a systemd that does not answer. */
export type Answer = (...args: unknown[]) => unknown;

/** A bus of its own with something on it that owns systemd's name and says what it is told to say. */
export interface StandinBus {
  readonly socket: string;
  /** Members called so far, in order; a property as `Get:NAME`. */
  readonly calls: readonly string[];
  /** From now on a method of the manager answers like this; what has no answer is an unknown method. */
  manager(member: string, signature: string, answer: Answer): void;
  /** Properties by name, as `[signature, value]`; others are unknown. */
  readonly properties: Map<string, readonly [string, unknown]>;
  /** From now on properties are not answered at all. */
  silence(): void;
  jobRemoved(job: string, result: string): void;
  /** The bus goes away with every connection. */
  die(): void;
}

/** What systemd answers when it means no. */
export function busError(name: string, message: string): Error {
  return Object.assign(new Error(message), { dbusName: name });
}

export const never = async (): Promise<never> => new Promise(() => undefined);

export async function standinBus(t: { teardown(clean: () => void): void }): Promise<StandinBus> {
  const directory = mkdtempSync(path.join(tmpdir(), 'ksa-bus-'));
  const socket = path.join(directory, 'socket');
  const broker = createBroker();
  await new Promise<void>((resolve, reject) => {
    broker.listen({ socket }, (error) => (error === null ? resolve() : reject(error)));
  });
  const service = createClient({ socket, authMethods: ['EXTERNAL'] });
  service.connection.on('error', () => undefined);
  await service.requestName('org.freedesktop.systemd1', 0);
  let alive = true;
  const die = (): void => {
    if (!alive) return;
    alive = false;
    service.connection.end();
    broker.close();
  };
  t.teardown(() => {
    die();
    rmSync(directory, { recursive: true, force: true });
  });

  const calls: string[] = [];
  const properties = new Map<string, readonly [string, unknown]>();
  let silent = false;
  const answers = new Map<string, { readonly signature: string; readonly answer: Answer }>();
  const answerOf = (message: Message): { signature: string; answer: Answer } => {
    const [, name] = message.body ?? [];
    if (message.member !== 'Get') {
      calls.push(message.member ?? '');
      const unknown = (): never => {
        throw busError('org.freedesktop.DBus.Error.UnknownMethod', `Unknown method ${message.member}.`);
      };
      return answers.get(message.member ?? '') ?? { signature: '', answer: unknown };
    }
    calls.push(`Get:${String(name)}`);
    const get = (): unknown => {
      if (silent) return never();
      const found = properties.get(String(name));
      if (found === undefined) {
        throw busError('org.freedesktop.DBus.Error.UnknownProperty', `Unknown property ${String(name)}`);
      }
      return [...found];
    };
    return { signature: 'v', answer: get };
  };
  const serve = async (message: Message): Promise<void> => {
    const { signature, answer } = answerOf(message);
    try {
      const value = await answer(...(message.body ?? []));
      if (alive) service.sendReply(message, signature, signature === '' ? [] : [value]);
    } catch (error) {
      const { dbusName, message: text } = error as { dbusName?: string; message: string };
      service.sendError(message, dbusName ?? 'org.freedesktop.DBus.Error.Failed', text);
    }
  };
  // The library would answer for properties itself; here every word is the test's.
  service.connection.removeAllListeners('message');
  service.connection.on('message', (message: Message) => {
    if (message.type === 1) void serve(message);
  });
  const manager = (member: string, signature: string, answer: Answer): void => {
    answers.set(member, { signature, answer });
  };
  manager('Subscribe', '', () => null);
  manager('LoadUnit', 'o', () => unitPath);
  return {
    socket,
    calls,
    manager,
    properties,
    silence() {
      silent = true;
    },
    jobRemoved(job, result) {
      service.sendSignal(managerPath, managerInterface, 'JobRemoved', 'uoss', [
        1,
        job,
        'kubelet.service',
        result,
      ]);
    },
    die,
  };
}
