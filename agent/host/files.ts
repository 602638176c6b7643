import { link, lstat, readdir, rename, rmdir, stat, symlink, unlink } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import type { ObservedFile } from '../plan/observed.ts';
import {
  copyWhole,
  type FileAttributes,
  makeDirectory,
  syncDirectory,
  writeAtomically,
} from './atomic-write.ts';
import { isErrno } from './errno.ts';
import { isWritable, readText } from './read-text.ts';
import { linkTarget, resolveInRoot } from './resolve-in-root.ts';

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

export interface ListedFile {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly target?: string;
  readonly empty?: boolean;
}

/** Keeps SELinux labels where the host uses them; see relabel.ts. */
export type Relabel = (temporaryPath: string, likePath: string) => Promise<void>;

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
