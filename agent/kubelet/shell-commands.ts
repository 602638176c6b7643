/**
 * The simple commands that an argv runs: itself, or, where it is a shell with `-c`, the commands in its text. The text
 * is cut at every separator, bracket and substitution, quoted or not: it finds too many commands rather than too few.
 * It is no shell; it only has to find the programs and their words. Leading assignments, `exec`, `sudo`, `env`, `xargs`
 * and other words that only start the next one are taken off.
 */
export function shellCommands(argv: readonly string[]): readonly (readonly string[])[] {
  const plain = withoutPrefixes(argv);
  const text = shellText(plain);
  if (text === undefined) return plain.length === 0 ? [] : [plain];
  return text
    .replaceAll(/\\\n/g, ' ')
    .split(/&&|\|\||[;|&\n`(){}]/)
    .map((piece) => piece.split(/[\s"']+/).filter((word) => /[^$]/.test(word)))
    .map(withoutPrefixes)
    .filter((words) => words.length > 0)
    .flatMap((words) => (shellText(words) === undefined ? [words] : shellCommands(words)));
}

/** The last part of a program's path. */
export function programOf(words: readonly string[]): string {
  const first = words[0] ?? '';
  return first.slice(first.lastIndexOf('/') + 1);
}

const shells: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh']);

function shellText(words: readonly string[]): string | undefined {
  if (!shells.has(programOf(words))) return undefined;
  const at = words.findIndex((word) => /^-[a-z]*c$/.test(word));
  return at === -1 ? undefined : words.slice(at + 1).join(' ');
}

const starters: ReadonlySet<string> = new Set([
  'busybox',
  'command',
  'do',
  'else',
  'env',
  'exec',
  'if',
  'ionice',
  'nice',
  'nohup',
  'setsid',
  'sudo',
  'then',
  'time',
  'timeout',
  'until',
  'while',
  'xargs',
  '!',
]);

function withoutPrefixes(words: readonly string[]): readonly string[] {
  let rest = words;
  for (;;) {
    const first = rest[0] ?? '';
    if (/^[A-Za-z_]\w*=/.test(first)) {
      rest = rest.slice(1);
    } else if (starters.has(programOf(rest))) {
      // With the starter go its own options and their numbers: `timeout 30`, `nice -n 5`, `xargs -r`.
      const next = rest.findIndex((word, index) => index > 0 && !/^-|^[\d.]+[smhd]?$/.test(word));
      rest = next === -1 ? [] : rest.slice(next);
    } else {
      return rest;
    }
  }
}
