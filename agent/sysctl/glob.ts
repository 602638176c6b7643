/** Whether a path pattern of sysctl.d holds anything that is not itself (string_is_glob in systemd). */
export function isGlob(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/**
 * Whether a path matches a pattern as in glob(3): a star, a question mark and a bracket stay within one directory, a
 * bracket that never closes is a letter. In time bounded by the product of both lengths.
 */
export function globMatches(pattern: string, path: string): boolean {
  const patterns = pattern.split('/');
  const parts = path.split('/');
  return (
    patterns.length === parts.length &&
    patterns.every((each, index) => partMatches(tokens(each), parts[index] ?? ''))
  );
}

type Token = 'anyRun' | ((letter: string) => boolean);

function partMatches(pattern: readonly Token[], part: string): boolean {
  let at = 0;
  let letter = 0;
  // Where to go on when a letter does not fit: behind the last star, one letter further.
  let retry: { readonly at: number; readonly letter: number } | undefined;
  while (letter < part.length) {
    const token = pattern[at];
    if (token === 'anyRun') {
      retry = { at: at + 1, letter };
      at += 1;
    } else if (token?.(part.charAt(letter)) === true) {
      at += 1;
      letter += 1;
    } else if (retry === undefined) {
      return false;
    } else {
      retry = { at: retry.at, letter: retry.letter + 1 };
      ({ at, letter } = retry);
    }
  }
  return pattern.slice(at).every((token) => token === 'anyRun');
}

function tokens(pattern: string): readonly Token[] {
  return (pattern.match(/\[[!^]?\]?[^\]]*\]|[^]/g) ?? []).map((token) => {
    if (token === '*') return 'anyRun';
    if (token === '?') return () => true;
    return token.length > 1 ? bracket(token.slice(1, -1)) : (letter) => letter === token;
  });
}

function bracket(inside: string): (letter: string) => boolean {
  const negated = /^[!^]/.test(inside);
  const ranges = [...(negated ? inside.slice(1) : inside).matchAll(/([^])-([^])|([^])/g)].map(
    ([, from, to, single = '']) => ({ from: from ?? single, to: to ?? single }),
  );
  return (letter) => ranges.some(({ from, to }) => letter >= from && letter <= to) !== negated;
}
