import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type {
  Means,
  SysctlNames,
  SysctlReading,
  SysctlReadings,
  SysctlWriting,
} from '../../../agent/host/sysctls.ts';
import type { ThrowawayHost } from './throwaway-host.ts';

export type SysctlsRequest =
  | { readonly kind: 'read'; readonly names: readonly string[] }
  | { readonly kind: 'write'; readonly name: string; readonly value: string }
  | { readonly kind: 'list'; readonly prefix: string }
  | { readonly kind: 'openReader'; readonly names: readonly string[] }
  | { readonly kind: 'readReader' };

/** The port as a suite can drive it, in this process or in another one. */
export interface DrivenSysctls {
  read(names: readonly string[]): Promise<SysctlReadings>;
  write(name: string, value: string): Promise<SysctlWriting>;
  list(prefix: string): Promise<SysctlNames>;
  /** Whether there is a reader for these names. */
  openReader(names: readonly string[]): Promise<boolean>;
  /** What it reads now. */
  readReader(): Promise<readonly SysctlReading[]>;
}

const server = fileURLToPath(new URL('sysctls-server.ts', import.meta.url));

/** The real adapter, in a process of a host behind a prefix that changes namespaces. Ends with the test. */
export async function remoteSysctls(
  t: Test,
  host: ThrowawayHost,
  prefix: readonly string[] = [],
  procDir = '/proc',
): Promise<DrivenSysctls> {
  const args = ['-t', String(host.initPid), '-n', '-i', '-u', '-p', '-m', '--', ...prefix];
  const child = spawn('nsenter', [...args, process.execPath, server, procDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the process that reads sysctls ended');
    return JSON.parse(value) as unknown;
  };
  const ask = async (request: SysctlsRequest): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return next();
  };
  await next();

  return {
    async read(names) {
      const answer = (await ask({ kind: 'read', names })) as Means & { readings: [string, SysctlReading][] };
      return { ...answer, readings: new Map(answer.readings) };
    },
    write: async (name, value) => ask({ kind: 'write', name, value }) as Promise<SysctlWriting>,
    list: async (prefix) => ask({ kind: 'list', prefix }) as Promise<SysctlNames>,
    openReader: async (names) => ask({ kind: 'openReader', names }) as Promise<boolean>,
    readReader: async () => ask({ kind: 'readReader' }) as Promise<readonly SysctlReading[]>,
  };
}
