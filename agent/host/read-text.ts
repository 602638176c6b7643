import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import type { ObservedFile } from '../plan/observed.ts';
import { isErrno } from './errno.ts';

/** Hex SHA-256 of a text's UTF-8 bytes. */
export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/**
 * A regular file as text, byte for byte; undefined where there is none.
 * @throws AgentError UNIT_UNREADABLE for what is no UTF-8 or too large, FILE_UNSAFE for what is no regular file.
 */
export async function readText(
  real: string,
  hostPath: string,
  realHostPath: string,
): Promise<ObservedFile | undefined> {
  let handle;
  try {
    // Not blocking: a named pipe in place of a unit must not hang the agent.
    handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
    throw new AgentError('UNIT_UNREADABLE', `${hostPath} cannot be opened: ${String(error)}`, {
      cause: error,
    });
  }
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new AgentError('FILE_UNSAFE', `${hostPath} is no regular file`);
    if (info.size > maxFileBytes)
      throw new AgentError('UNIT_UNREADABLE', `${hostPath} is larger than ${maxFileBytes} bytes`);
    const bytes = await handle.readFile();
    const text = decode(bytes, hostPath);
    return {
      path: hostPath,
      realPath: realHostPath,
      text,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      mode: info.mode & 0o7777,
      uid: info.uid,
      gid: info.gid,
      mtimeMs: info.mtimeMs,
      writable: await isWritable(path.dirname(real)),
    };
  } finally {
    await handle.close();
  }
}

function decode(bytes: Uint8Array, hostPath: string): string {
  try {
    // ignoreBOM keeps a byte order mark in the text: it is one of the bytes that must not change.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new AgentError(
      'UNIT_UNREADABLE',
      `${hostPath} is not valid UTF-8; systemd refuses such a unit as well`,
      { cause },
    );
  }
}

/** False on a read-only file system. */
export async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const maxFileBytes = 4 * 1024 * 1024;
