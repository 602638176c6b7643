import { booleanFlags } from './boolean-flags.ts';

/** The two names of the allowlist flag: since 1.11, and from 1.4 to 1.10. */
export const allowlistFlag = 'allowed-unsafe-sysctls';
export const experimentalAllowlistFlag = 'experimental-allowed-unsafe-sysctls';

/** One flag of a command line. `value` is undefined for a boolean without `=`, and where the line ends too early. */
export interface FlagWord {
  readonly index: number;
  /** The flag and, in the space form, its value. */
  readonly words: 1 | 2;
  /** As written, dashes included, without `=` and what follows. */
  readonly spelled: string;
  /** With two dashes: the name with underscores turned into dashes. With one dash: the word after the dash. */
  readonly name: string;
  readonly dashes: 1 | 2;
  readonly value: string | undefined;
  /** False when the word before may have swallowed this one, which only the kubelet's own flag table could tell. */
  readonly certain: boolean;
}

/**
 * Splits a kubelet's arguments into flags as pflag does, as far as that is possible without the flag table of that
 * kubelet. The rule for `--name` without `=`: a known boolean swallows nothing; the allowlist flag swallows the next
 * word whatever it is; any other flag swallows a word that does not begin with a dash, and MAY swallow one that does,
 * which leaves that word uncertain. `--` ends the flags. Words that are neither are passed over: in a running kubelet
 * they cannot be, in a unit they are variables still to be expanded.
 */
export function walkFlags(args: readonly string[]): readonly FlagWord[] {
  const flags: FlagWord[] = [];
  let certain = true;
  let mayHaveEnded = false;
  let index = 0;
  while (index < args.length) {
    if (args[index] === '--') {
      if (certain) break;
      mayHaveEnded = true;
    }
    const flag = flagAt(args, index, certain && !mayHaveEnded);
    if (flag !== undefined) flags.push(flag);
    certain = flag === undefined || !maySwallow(flag);
    index += flag?.words ?? 1;
  }
  return flags;
}

/** Whether two command lines, or parts of them, are the same words in the same order. */
export function sameWords(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((word, index) => word === b[index]);
}

function flagAt(args: readonly string[], index: number, certain: boolean): FlagWord | undefined {
  const word = args[index] ?? '';
  if (!word.startsWith('-') || word === '-' || word === '--') return undefined;
  const equals = word.indexOf('=');
  const spelled = equals === -1 ? word : word.slice(0, equals);
  const dashes = word.startsWith('--') ? 2 : 1;
  const name = dashes === 2 ? spelled.slice(2).replaceAll('_', '-') : spelled.slice(1);
  const flag = { index, words: 1, spelled, name, dashes, value: undefined, certain } as const;
  if (equals !== -1) return { ...flag, value: word.slice(equals + 1) };
  const next = args[index + 1];
  if (next === undefined || !swallows(flag, next)) return flag;
  return { ...flag, words: 2, value: next };
}

function swallows(flag: FlagWord, next: string): boolean {
  if (isAllowlistFlag(flag)) return true;
  return maySwallow(flag) && !next.startsWith('-');
}

function maySwallow(flag: FlagWord): boolean {
  if (flag.value !== undefined) return false;
  // `-v` is the only short flag of the kubelet that takes a value; `-v4` carries it.
  return flag.dashes === 2 ? !booleanFlags.has(flag.name) : flag.name === 'v';
}

/** Whether this is the allowlist flag, under either name. */
export function isAllowlistFlag(flag: FlagWord): boolean {
  return flag.dashes === 2 && (flag.name === allowlistFlag || flag.name === experimentalAllowlistFlag);
}
