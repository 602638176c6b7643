import { lstatSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';

/**
 * The path under `root` that `path` means to a process whose root directory that is: symbolic links are followed
 * within it. Without this, an absolute link of the node would lead into the machine's own files.
 */
export function inside(root: string, path: string): string {
  const rest = path.split('/');
  let done = '/';
  let links = 0;
  while (rest.length > 0) {
    const part = rest.shift() ?? '';
    const next = posix.join(done, part);
    const target = linkTarget(join(root, next));
    if (target === undefined) {
      done = next;
    } else {
      if (++links > 40) throw new Error(`too many symbolic links in ${path} under ${root}`);
      if (target.startsWith('/')) done = '/';
      rest.unshift(...target.split('/'));
    }
  }
  return join(root, done);
}

/** The same, but the last part is not followed when it is a link itself. */
export function insideUnfollowed(root: string, path: string): string {
  return join(inside(root, posix.dirname(path)), posix.basename(path));
}

function linkTarget(path: string): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isSymbolicLink() ? readlinkSync(path) : undefined;
}
