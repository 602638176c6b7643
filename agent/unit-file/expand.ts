import { scanWord } from './words.ts';

/**
 * Expand `$` in an argv as systemd does before it starts a process (replace_env_argv() in src/basic/env-util.c):
 * `$NAME` as a whole word becomes the words of its value, or nothing; `${NAME}` anywhere is put in as it is, or as
 * nothing; `$$` is `$`; `$NAME` inside a word stays. `empty` names the unset variables that left an empty argument.
 * Not for commands with the prefix `:`.
 */
export function expandVariables(
  argv: readonly string[],
  env: ReadonlyMap<string, string>,
): { argv: string[]; empty: readonly string[] } {
  const expanded: string[] = [];
  const empty: string[] = [];
  for (const word of argv) {
    if (/^\$(?![{$])/s.test(word)) {
      expanded.push(...splitWords(env.get(word.slice(1)) ?? ''));
      continue;
    }
    const argument = replaceBraced(word, env);
    expanded.push(argument);
    if (argument === '' && word !== '') {
      empty.push(...bracedNames(word).filter((name) => !env.has(name)));
    }
  }
  return { argv: expanded, empty };
}

/** The words of a `$NAME` value: split at blanks, quotes removed, a backslash makes the next character literal. */
export function splitWords(value: string): string[] {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    const scan = scanWord(value, at, 'value');
    if (scan.kind !== 'word') return words;
    words.push(scan.word.characters.map((character) => character.text).join(''));
    at = scan.word.end;
  }
}

const dollars = /\$(?:\$|\{([^}:]*)\}|\{[^}:]*(?::|$)|[^{]?)/gs;

// A `${` that a `:` or the end of the word interrupts is no variable and stays as it is.
function replaceBraced(word: string, env: ReadonlyMap<string, string>): string {
  return word.replaceAll(dollars, (whole: string, name: string | undefined) => {
    if (whole === '$$') return '$';
    return name === undefined ? whole : (env.get(name) ?? '');
  });
}

function bracedNames(word: string): readonly string[] {
  return Array.from(word.matchAll(dollars), (match) => match[1]).filter((name) => name !== undefined);
}
