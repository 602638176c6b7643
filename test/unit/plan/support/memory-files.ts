import { createHash } from 'node:crypto';
import { AgentError } from '../../../../agent/errors.ts';
import type { HostFiles, ListedFile } from '../../../../agent/host/files.ts';
import type { ObservedFile } from '../../../../agent/plan/observed.ts';

/** A file: its text, a link to another path, or something that is no regular file. */
export type MemoryEntry = string | { readonly link: string } | { readonly device: true };

/** Files in memory, as far as an observation reads them. */
export function memoryFiles(
  entries: Readonly<Record<string, MemoryEntry>>,
  readOnly: readonly string[] = [],
): HostFiles {
  const resolve = (named: string): string => {
    const path = named.replace(/(.)\/+$/, '$1');
    for (const [from, entry] of Object.entries(entries)) {
      if (typeof entry === 'object' && 'link' in entry && (path === from || path.startsWith(`${from}/`))) {
        return resolve(entry.link + path.slice(from.length));
      }
    }
    return path;
  };
  const isWritable = (path: string): boolean => !readOnly.some((directory) => path.startsWith(directory));
  const read = (path: string): ObservedFile | undefined => {
    const realPath = resolve(path);
    const entry = entries[realPath];
    if (realPath === '/dev/null' || typeof entry === 'object') {
      throw new AgentError('FILE_UNSAFE', `${path} is no regular file`);
    }
    if (entry === undefined && Object.keys(entries).some((other) => other.startsWith(`${realPath}/`))) {
      throw new AgentError('FILE_UNSAFE', `${path} is no regular file`);
    }
    if (entry === undefined) return undefined;
    if (entry.includes('\uFFFD')) throw new AgentError('UNIT_UNREADABLE', `${path} is not valid UTF-8`);
    return {
      path,
      realPath,
      text: entry,
      sha256: createHash('sha256').update(entry).digest('hex'),
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeMs: 1_000,
      writable: isWritable(realPath),
    };
  };
  const list = (directory: string): readonly ListedFile[] => {
    const prefix = `${resolve(directory)}/`;
    const names = new Map<string, ListedFile>();
    for (const [path, entry] of Object.entries(entries)) {
      if (!path.startsWith(prefix)) continue;
      const [name = '', ...rest] = path.slice(prefix.length).split('/');
      if (rest.length > 0) names.set(name, { name, kind: 'directory' });
      else if (typeof entry === 'string') names.set(name, { name, kind: 'file', empty: entry === '' });
      else if ('link' in entry) names.set(name, { name, kind: 'symlink', target: entry.link });
    }
    return [...names.values()];
  };
  const never = (): never => {
    throw new Error('an observation writes nothing');
  };
  return {
    root: '/',
    read: async (path) => Promise.resolve().then(() => read(path)),
    list: async (directory) => Promise.resolve(list(directory)),
    exists: async (path) => Promise.resolve(path in entries || list(path).length > 0),
    isWritable: async (path) => Promise.resolve(isWritable(`${path}/`)),
    resolve: async (path) => Promise.resolve(resolve(path)),
    replace: never,
    keepPrevious: never,
    restorePrevious: never,
    discard: never,
    removeEmptyDirectory: never,
    symlink: never,
    remove: never,
  };
}
