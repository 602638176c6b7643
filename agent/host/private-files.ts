import { lstat, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import { type FileAttributes, syncDirectory } from './atomic-write.ts';
import { isErrno } from './errno.ts';
import { resolveInRoot } from './resolve-in-root.ts';

/** Where the agent keeps what it remembers, on the host. */
export const stateDirectoryPath = '/var/lib/kubelet-sysctl-agent';

/** Of every file the agent keeps for itself. */
export const privateFile: FileAttributes = { mode: 0o600, uid: 0, gid: 0 };

/**
 * Makes the state directory below a root, or finds it as safe as it was made; its path as this process sees it.
 * @throws AgentError STATE_DIRECTORY_UNSAFE, NODE_READ_ONLY or FILE_WRITE_FAILED.
 */
export async function openStateDirectory(root: string): Promise<string> {
  const unsafe = (why: string): AgentError =>
    new AgentError('STATE_DIRECTORY_UNSAFE', `${stateDirectoryPath}: ${why}`, {
      next: 'find out who made it, remove it, and let the agent make it anew',
    });
  const parent = await resolveInRoot(root, path.dirname(stateDirectoryPath));
  const directory = path.join(parent, path.basename(stateDirectoryPath));
  await mkdir(parent, { recursive: true });
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!isErrno(error, 'EEXIST')) {
      throw new AgentError(
        isErrno(error, 'EROFS') ? 'NODE_READ_ONLY' : 'FILE_WRITE_FAILED',
        `making ${stateDirectoryPath}: ${String(error)}`,
        { cause: error },
      );
    }
  });
  const info = await lstat(directory);
  if (!info.isDirectory()) throw unsafe('is no directory (a symbolic link is not followed)');
  const owner = process.getuid?.() ?? 0;
  if (info.uid !== owner) throw unsafe(`belongs to uid ${info.uid}, not to uid ${owner}`);
  if ((info.mode & 0o022) !== 0) throw unsafe('can be written by others than its owner');
  const above = await lstat(parent);
  if ((above.mode & 0o002) !== 0 && (above.mode & 0o1000) === 0)
    throw unsafe('lies in a directory that everybody may write to');
  await makePrivate(path.join(directory, 'backup'));
  return directory;
}

/** Makes a directory that only its owner may enter; one that is there stays as it is. */
export async function makePrivate(directory: string): Promise<void> {
  const created = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (created !== undefined) await syncDirectory(path.dirname(created));
}

/** A file's text; undefined where there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
