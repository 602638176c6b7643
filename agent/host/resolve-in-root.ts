import type { Stats } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../errors.ts';

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

/** What a symbolic link points to; undefined for anything that is none. */
export async function linkTarget(full: string): Promise<string | undefined> {
  let info: Stats;
  try {
    info = await lstat(full);
  } catch {
    return undefined;
  }
  return info.isSymbolicLink() ? readlink(full) : undefined;
}

/** As many as Linux follows. */
const maxSymlinks = 40;
