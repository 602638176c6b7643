import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import type { StartConditions } from '../plan/start-conditions.ts';
import { resolveInRoot } from './resolve-in-root.ts';

/** A unix socket, asked by connecting to it. `unknown`: its directory is not to be seen from here. */
export async function probeSocket(
  root: string,
  hostPath: string,
  deadlineMs: number,
): Promise<NonNullable<StartConditions['runtime']>['state']> {
  const real = await resolveInRoot(root, hostPath);
  return new Promise((resolve) => {
    const socket = connect({ path: real });
    const end = (state: NonNullable<StartConditions['runtime']>['state']): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(state);
    };
    const timer = setTimeout(() => end('silent'), deadlineMs);
    socket.on('connect', () => end('answers'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') end('silent');
      else if (error.code === 'ENOENT') end(directoryIsThere(real) ? 'absent' : 'unknown');
      else end('unknown');
    });
  });
}

/** Swap areas in use, by name; the kernel's table has one header line. */
export async function swapsInUse(procDir = '/proc'): Promise<readonly string[]> {
  const text = await readFile(path.join(procDir, 'swaps'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '')
    .filter((name) => name !== '');
}

/** When a PEM file's first certificate ends; undefined where there is none to be read. */
export async function certificateEnd(root: string, hostPath: string): Promise<number | undefined> {
  try {
    const pem = await readFile(await resolveInRoot(root, hostPath));
    return new X509Certificate(pem).validToDate.getTime();
  } catch {
    return undefined;
  }
}

function directoryIsThere(real: string): boolean {
  return statSync(path.dirname(real), { throwIfNoEntry: false })?.isDirectory() ?? false;
}
