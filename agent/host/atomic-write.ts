import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, stat, unlink, utimes } from 'node:fs/promises';
import path from 'node:path';

export interface FileAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Flushes a directory, so that a rename in it survives a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes bytes beside `real` and renames them over it; the same directory, so rename cannot cross file systems. */
export async function writeAtomically(
  real: string,
  bytes: Uint8Array,
  attributes: FileAttributes,
  beforeRename: (temporary: string) => Promise<void> = async () => Promise.resolve(),
): Promise<void> {
  // A leading dot and no `.conf`: systemd ignores it in a drop-in directory even if we die before the rename.
  const temporary = path.join(
    path.dirname(real),
    `.${path.basename(real)}.${randomBytes(6).toString('hex')}.tmp`,
  );
  const handle = await open(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    try {
      await handle.writeFile(bytes);
      await handle.chown(attributes.uid, attributes.gid);
      await handle.chmod(attributes.mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await beforeRename(temporary);
    await rename(temporary, real);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(path.dirname(real));
}

/** Where a hard link is not to be had: the same bytes, flushed, with their mode, owner and times. */
export async function copyWhole(real: string, copy: string): Promise<void> {
  const { mode, uid, gid, atime, mtime } = await stat(real);
  await writeAtomically(copy, await readFile(real), { mode: mode & 0o7777, uid, gid });
  await utimes(copy, atime, mtime);
}

/** A missing directory is made with the usual mode; nobody but root may write to one that is there. */
export async function makeDirectory(directory: string): Promise<void> {
  const created = await mkdir(directory, { recursive: true, mode: 0o755 });
  if (created !== undefined) await syncDirectory(path.dirname(created));
}
