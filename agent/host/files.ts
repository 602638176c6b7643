import { createHash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  access,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rmdir,
  stat,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { isErrno } from './errno.ts';
import type { ObservedFile } from '../plan/observed.ts';

/** Files of the host, named by their absolute path on the host; symlinks are followed below the root only. */
export interface HostFiles {
  readonly root: string;
  /** Undefined where there is no such file. @throws AgentError UNIT_UNREADABLE for what is there but is no UTF-8 text. */
  read(hostPath: string): Promise<ObservedFile | undefined>;
  /** Entries of a directory; empty where there is none. */
  list(hostPath: string): Promise<readonly ListedFile[]>;
  exists(hostPath: string): Promise<boolean>;
  /** False on a read-only file system. */
  isWritable(hostPath: string): Promise<boolean>;
  /**
   * Puts a whole file in place: temporary file in the same directory, fsync, rename, fsync of the directory.
   * Owner and mode are `attributes`; with `expected` the file must still be what was read (null: absent).
   * @throws AgentError FILE_CHANGED, FILE_UNSAFE or FILE_WRITE_FAILED; the old file is whole in every case.
   */
  replace(hostPath: string, text: string, attributes: FileAttributes, expected: string | null): Promise<void>;
  /**
   * Keeps the old file beside itself, as a hard link or else a copy, so that going back is one rename.
   * @throws AgentError FILE_WRITE_FAILED.
   */
  keepPrevious(hostPath: string, previousPath: string): Promise<void>;
  /** Renames the kept file back. False where it is not there (any more). */
  restorePrevious(hostPath: string, previousPath: string): Promise<boolean>;
  /** Removes a file whatever it holds; one that is gone is fine. */
  discard(hostPath: string): Promise<void>;
  /** Removes a directory that has nothing in it; any other stays. */
  removeEmptyDirectory(hostPath: string): Promise<void>;
  /** Makes a symbolic link; one that is there is replaced. */
  symlink(target: string, hostPath: string): Promise<void>;
  /** Removes a file, if it still has the expected content. @throws AgentError like `replace`. */
  remove(hostPath: string, expected: string): Promise<void>;
  /** The path below the root that this host path leads to, with every symlink followed inside the root. */
  resolve(hostPath: string): Promise<string>;
}

export interface FileAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface ListedFile {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly target?: string;
  readonly empty?: boolean;
}

/** Keeps SELinux labels where the host uses them; see relabel.ts. */
export type Relabel = (temporaryPath: string, likePath: string) => Promise<void>;

const maxFileBytes = 4 * 1024 * 1024;
const maxSymlinks = 40;

export function hostFiles(root: string, relabel: Relabel = async () => Promise.resolve()): HostFiles {
  const below = async (hostPath: string): Promise<string> => resolveInRoot(root, hostPath);

  return {
    root,
    resolve: below,
    async read(hostPath) {
      const real = await below(hostPath);
      return readText(real, hostPath, path.resolve(root) === '/' ? real : `/${path.relative(root, real)}`);
    },
    async list(hostPath) {
      return listDirectory(await below(hostPath));
    },
    async exists(hostPath) {
      try {
        await lstat(await below(hostPath));
        return true;
      } catch {
        return false;
      }
    },
    isWritable: async (hostPath) => isWritable(await below(hostPath)),
    async replace(hostPath, text, attributes, expected) {
      await replaceFile(
        await below(hostPath),
        hostPath,
        Buffer.from(text, 'utf8'),
        attributes,
        expected,
        relabel,
      );
    },
    async keepPrevious(hostPath, previousPath) {
      const [real, previous] = [await below(hostPath), await below(previousPath)];
      await wrapWrite(previousPath, 'writing', async () => {
        await unlink(previous).catch(() => undefined);
        await link(real, previous).catch(async () => copyWhole(real, previous));
        await syncDirectory(path.dirname(previous));
      });
    },
    async restorePrevious(hostPath, previousPath) {
      const [real, previous] = [await below(hostPath), await below(previousPath)];
      try {
        await rename(previous, real);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return false;
        throw new AgentError('FILE_WRITE_FAILED', `putting ${hostPath} back: ${String(error)}`, {
          cause: error,
        });
      }
      await syncDirectory(path.dirname(real));
      return true;
    },
    async discard(hostPath) {
      // The name itself, not what a symbolic link of that name points to.
      const real = path.join(await below(path.dirname(hostPath)), path.basename(hostPath));
      await unlink(real).catch((error: unknown) => {
        if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) {
          throw new AgentError('FILE_WRITE_FAILED', `removing ${hostPath}: ${String(error)}`, {
            cause: error,
          });
        }
      });
    },
    async removeEmptyDirectory(hostPath) {
      await rmdir(await below(hostPath)).catch(() => undefined);
    },
    async symlink(target, hostPath) {
      const directory = await below(path.dirname(hostPath));
      await wrapWrite(hostPath, 'linking', async () => {
        await makeDirectory(directory);
        const full = path.join(directory, path.basename(hostPath));
        await unlink(full).catch(() => undefined);
        await symlink(target, full);
        await syncDirectory(directory);
      });
    },
    async remove(hostPath, expected) {
      const real = await below(hostPath);
      await mustStillBe(real, hostPath, expected);
      await wrapWrite(hostPath, 'removing', async () => {
        await unlink(real);
        await syncDirectory(path.dirname(real));
      });
    },
  };
}

/**
 * Follows every symlink of a host path as the host itself would, never leaving the root: an absolute target
 * starts again at the root, `..` stops there. The last component need not exist.
 * @throws AgentError FILE_UNSAFE for a loop of links.
 */
export async function resolveInRoot(root: string, hostPath: string): Promise<string> {
  const base = path.resolve(root);
  const pending = hostPath.split('/').filter((part) => part !== '' && part !== '.');
  const done: string[] = [];
  let links = 0;
  while (pending.length > 0) {
    const part = pending.shift() ?? '';
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = await linkTarget(path.join(base, ...done, part));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    links += 1;
    if (links > maxSymlinks)
      throw new AgentError('FILE_UNSAFE', `${hostPath}: too many levels of symbolic links`);
    if (target.startsWith('/')) done.length = 0;
    pending.unshift(...target.split('/').filter((piece) => piece !== '' && piece !== '.'));
  }
  return path.join(base, ...done);
}

/** Hex SHA-256 of a text's UTF-8 bytes. */
export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
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

async function replaceFile(
  real: string,
  hostPath: string,
  bytes: Uint8Array,
  attributes: FileAttributes,
  expected: string | null,
  relabel: Relabel,
): Promise<void> {
  await mustStillBe(real, hostPath, expected);
  await wrapWrite(hostPath, 'writing', async () => {
    await makeDirectory(path.dirname(real));
    await writeAtomically(real, bytes, attributes, async (temporary) => {
      if (expected !== null) await relabel(temporary, real);
      // Looked at again as late as can be: only the rename itself lies between this and the new file.
      await mustStillBe(real, hostPath, expected);
    });
  });
}

async function mustStillBe(real: string, hostPath: string, expected: string | null): Promise<void> {
  const now = await readText(real, hostPath, real);
  if ((now === undefined && expected === null) || (now !== undefined && now.text === expected)) return;
  throw new AgentError(
    'FILE_CHANGED',
    `${hostPath} was changed by somebody else in the meantime; nothing was written`,
    {
      next: 'look at the other edit, then run it again',
    },
  );
}

/** Where a hard link is not to be had: the same bytes, flushed, with their mode, owner and times. */
async function copyWhole(real: string, copy: string): Promise<void> {
  const { mode, uid, gid, atime, mtime } = await stat(real);
  await writeAtomically(copy, await readFile(real), { mode: mode & 0o7777, uid, gid });
  await utimes(copy, atime, mtime);
}

/** A missing directory is made with the usual mode; nobody but root may write to one that is there. */
async function makeDirectory(directory: string): Promise<void> {
  const created = await mkdir(directory, { recursive: true, mode: 0o755 });
  if (created !== undefined) await syncDirectory(path.dirname(created));
}

async function readText(
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

async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function listDirectory(real: string): Promise<readonly ListedFile[]> {
  let entries;
  try {
    entries = await readdir(real, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
    throw error;
  }
  const listed: ListedFile[] = [];
  for (const entry of entries) {
    const full = path.join(real, entry.name);
    if (entry.isSymbolicLink())
      listed.push({ name: entry.name, kind: 'symlink', target: (await linkTarget(full)) ?? '' });
    else if (entry.isDirectory()) listed.push({ name: entry.name, kind: 'directory' });
    else listed.push({ name: entry.name, kind: 'file', empty: (await stat(full)).size === 0 });
  }
  return listed;
}

async function linkTarget(full: string): Promise<string | undefined> {
  let info: Stats;
  try {
    info = await lstat(full);
  } catch {
    return undefined;
  }
  return info.isSymbolicLink() ? readlink(full) : undefined;
}

async function wrapWrite(hostPath: string, verb: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const readOnly = isErrno(error, 'EROFS');
    throw new AgentError(
      readOnly ? 'NODE_READ_ONLY' : 'FILE_WRITE_FAILED',
      `${verb} ${hostPath}: ${String(error)}`,
      {
        cause: error,
        next: readOnly
          ? 'the file system is read-only: use the way of the distribution to change it'
          : 'free the disk or mend the file system, then run it again',
      },
    );
  }
}
