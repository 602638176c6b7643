import { type FSWatcher, statSync, watch } from 'node:fs';
import path from 'node:path';
import { resolveInRoot } from './resolve-in-root.ts';

/** What is watched: a path, which need not be there yet. `directory`: if it is one, everything in it counts. */
export interface WatchTarget {
  readonly path: string;
  readonly kind: 'file' | 'directory';
  /** Where the path begins: the host's root, or our own for files that are mounted into our container. */
  readonly root: string;
}

export interface FileWatch {
  /**
   * Watches these from now on and nothing else. `unwatched`: directories that could not be watched (no inotify instance
   * or watch left); for those `changed` has to be asked. `added`: directories that were not watched a moment ago, so
   * that whoever looked at them before may have missed a change.
   */
  update(targets: readonly WatchTarget[]): Promise<{ readonly unwatched: number; readonly added: number }>;
  /** Whether any target is another file, or has other bytes by its times, than when this was last asked. Two stats each. */
  changed(): boolean;
  close(): void;
}

/**
 * Watches directories, never files: editors, package managers and the kubelet's ConfigMap mounts (`..data`) replace a
 * file by renaming another one over it. Of a target that is not there its nearest directory above is watched. Notices
 * may come for nothing, several for one change; `noticed` is never called before `update` has returned.
 */
export function watchFiles(noticed: () => void): FileWatch {
  const open = new Map<string, WatchedDirectory>();
  let targets: readonly string[] = [];
  let prints = '';

  return {
    async update(wanted) {
      const places = await Promise.all(wanted.map(placesOf));
      const names = new Map<string, Set<string> | 'all'>();
      for (const place of places.flatMap(({ watched }) => watched)) {
        const known = names.get(place.directory);
        if (place.name === undefined || known === 'all') names.set(place.directory, 'all');
        else names.set(place.directory, (known ?? new Set<string>()).add(place.name));
      }
      for (const [directory, watched] of open) {
        if (names.has(directory) && watched.inode === inodeOf(directory)) continue;
        watched.watcher.close();
        open.delete(directory);
      }
      let unwatched = 0;
      let added = 0;
      for (const [directory, interesting] of names) {
        const known = open.get(directory);
        if (known === undefined) {
          const started = start(directory, interesting, noticed);
          if (started === undefined) unwatched += 1;
          else {
            open.set(directory, started);
            added += 1;
          }
        } else known.names = interesting;
      }
      targets = places.flatMap(({ files }) => files);
      prints = fingerprints(targets);
      return { unwatched, added };
    },
    changed() {
      const before = prints;
      prints = fingerprints(targets);
      return prints !== before;
    },
    close() {
      for (const { watcher } of open.values()) watcher.close();
      open.clear();
    },
  };
}

interface WatchedDirectory {
  readonly watcher: FSWatcher;
  /** Tells this directory from another one of the same name. */
  readonly inode: string | undefined;
  names: ReadonlySet<string> | 'all';
}

interface Place {
  readonly directory: string;
  /** Undefined: every name counts. */
  readonly name: string | undefined;
}

/** Where a change of the target shows: beside its own name, beside the file that it leads to, and above what is not there. */
async function placesOf(
  target: WatchTarget,
): Promise<{ watched: readonly Place[]; files: readonly string[] }> {
  const parent = await resolveInRoot(target.root, path.dirname(target.path));
  const name = path.basename(target.path);
  const real = await resolveInRoot(target.root, target.path);
  const named = path.join(parent, name);
  const watched: Place[] = [nearest(parent, name)];
  // What a mounted ConfigMap swaps, whatever the file in it is called.
  if (watched[0]?.directory === parent) watched.push({ directory: parent, name: '..data' });
  if (target.kind === 'directory' && isDirectory(real)) watched.push({ directory: real, name: undefined });
  else if (real !== named) watched.push(nearest(path.dirname(real), path.basename(real)));
  return { watched, files: [...new Set([named, real])] };
}

function nearest(directory: string, name: string): Place {
  if (inodeOf(directory) !== undefined || directory === path.dirname(directory)) return { directory, name };
  return nearest(path.dirname(directory), path.basename(directory));
}

function start(
  directory: string,
  names: ReadonlySet<string> | 'all',
  noticed: () => void,
): WatchedDirectory | undefined {
  const inode = inodeOf(directory);
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      // A directory that is moved or removed says its own name, or none.
      if (
        watched.names === 'all' ||
        name === null ||
        watched.names.has(name) ||
        name === path.basename(directory)
      ) {
        noticed();
      }
    });
    // The directory may go away; the next update looks at its inode.
    watcher.on('error', noticed);
    const watched: WatchedDirectory = { watcher, inode, names };
    return watched;
  } catch {
    return undefined;
  }
}

function inodeOf(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

function isDirectory(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true;
}

function fingerprints(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? '-' : `${stat.ino}:${stat.mtimeMs}:${stat.ctimeMs}:${stat.size}`;
    })
    .join(' ');
}
