export interface DirectoryEntry {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Of a symlink: what it says. */
  readonly target?: string;
  /** Of a file: it has no bytes, which systemd takes for a mask. */
  readonly empty?: boolean;
}

/** The entries of a directory; none when it does not exist. */
export type ListDirectory = (directory: string) => readonly DirectoryEntry[];

/** Where a system manager looks for units, the strongest first (systemd.unit(5), lookup_paths_init()). */
export const unitDirectories: readonly string[] = [
  '/etc/systemd/system.control',
  '/run/systemd/system.control',
  '/run/systemd/transient',
  '/run/systemd/generator.early',
  '/etc/systemd/system',
  '/etc/systemd/system.attached',
  '/run/systemd/system',
  '/run/systemd/system.attached',
  '/run/systemd/generator',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
  '/run/systemd/generator.late',
];

/**
 * The file that systemd loads for a unit name, aliases followed; undefined when there is none. A unit is masked by
 * an empty file or a link to /dev/null. A link that leaves the unit directories is itself the fragment.
 */
export function fragmentPath(
  unit: string,
  list: ListDirectory,
): { path: string; masked: boolean } | undefined {
  let name = unit;
  for (let hop = 0; hop < maximumHops; hop++) {
    const found = firstEntry(name, list);
    if (found === undefined) {
      const template = templateOf(name);
      if (template === undefined) return undefined;
      name = template;
      continue;
    }
    const { directory, entry } = found;
    const path = `${directory}/${name}`;
    if (entry.kind === 'file') return { path, masked: entry.empty === true };
    const target = resolvePath(directory, entry.target ?? '');
    if (!unitDirectories.includes(parentOf(target))) return { path, masked: target === '/dev/null' };
    name = target.slice(target.lastIndexOf('/') + 1);
  }
  return undefined;
}

/**
 * The drop-ins of a unit in load order, as the D-Bus property DropInPaths has them: sorted by file name over all
 * directories; of one name the file of the strongest directory. A masking file is listed too and reads as nothing.
 * `unitNames` is the unit's name, then its aliases.
 */
export function dropInPaths(unitNames: readonly string[], list: ListDirectory): readonly string[] {
  const byName = new Map<string, string>();
  for (const directory of dropInDirectories(unitNames)) {
    for (const entry of list(directory)) {
      if (!entry.name.endsWith('.conf') || entry.name.startsWith('.')) continue;
      if (!byName.has(entry.name)) byName.set(entry.name, `${directory}/${entry.name}`);
    }
  }
  return [...byName].sort(([a], [b]) => compareBytes(a, b)).map(([, path]) => path);
}

const maximumHops = 8;

function firstEntry(
  name: string,
  list: ListDirectory,
): { directory: string; entry: DirectoryEntry } | undefined {
  for (const directory of unitDirectories) {
    const entry = list(directory).find((candidate) => candidate.name === name);
    if (entry !== undefined && entry.kind !== 'directory') return { directory, entry };
  }
  return undefined;
}

// unit_file_find_dropin_paths() in src/shared/dropin.c: for each name, directory by directory, the name itself, its
// template, then its prefixes from long to short; last of all the type.
function dropInDirectories(unitNames: readonly string[]): readonly string[] {
  const type = unitNames[0]?.slice(unitNames[0].lastIndexOf('.') + 1) ?? 'service';
  return [...unitNames.map(namesWithPrefixes), [type]].flatMap((names) =>
    unitDirectories.flatMap((directory) => names.map((name) => `${directory}/${name}.d`)),
  );
}

function namesWithPrefixes(name: string): readonly string[] {
  const template = templateOf(name);
  const names = template === undefined ? [name] : [name, ...namesWithPrefixes(template)];
  const dot = name.lastIndexOf('.');
  const at = name.indexOf('@');
  const stem = name.slice(0, at === -1 ? dot : at);
  const rest = name.slice(stem.length);
  const dash = stem.lastIndexOf('-', stem.length - 2);
  return dash > 0 ? [...names, ...namesWithPrefixes(stem.slice(0, dash + 1) + rest)] : names;
}

function templateOf(name: string): string | undefined {
  const at = name.indexOf('@');
  const dot = name.lastIndexOf('.');
  return at > 0 && dot > at + 1 ? name.slice(0, at + 1) + name.slice(dot) : undefined;
}

function resolvePath(directory: string, target: string): string {
  const parts: string[] = [];
  for (const part of (target.startsWith('/') ? target : `${directory}/${target}`).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

// strcmp() compares bytes; UTF-8 keeps the order of code points, UTF-16 does not.
function compareBytes(a: string, b: string): number {
  const left = Array.from(a, (character) => character.codePointAt(0) ?? 0);
  const right = Array.from(b, (character) => character.codePointAt(0) ?? 0);
  for (const [index, code] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    if (code !== other) return code - other;
  }
  return left.length - right.length;
}
