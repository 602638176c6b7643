import type { Problem } from '../errors.ts';
import type { FlagWord } from './argv.ts';
import { allowlistFlag, experimentalAllowlistFlag, isAllowlistFlag, walkFlags } from './argv.ts';
import { booleanFlags } from './boolean-flags.ts';
import { readCsvRecord } from './csv.ts';

/** One place where the allowlist flag stands. */
export interface FlagOccurrence {
  /** Index in the arguments. */
  readonly index: number;
  /** 2 in the space form, whose value is the next word. */
  readonly words: 1 | 2;
  /** As spelled, dashes and underscores included. */
  readonly name: string;
  readonly value: string;
  readonly entries: readonly string[];
}

/** The allowlist of a command line; `entries` is undefined where the flag is absent and empty where it is given empty. */
export type FlagReading =
  | {
      readonly ok: true;
      readonly occurrences: readonly FlagOccurrence[];
      readonly entries: readonly string[] | undefined;
      /** Spelled with the name that kubelets up to 1.10 know. */
      readonly experimental: boolean;
    }
  | { readonly ok: false; readonly problem: Problem };

/**
 * Reads the allowlist flag from the arguments after the program (after `kubelet` for hyperkube), as pflag's
 * StringSlice does: later occurrences append. Refuses with KUBELET_FLAG_UNREADABLE where a kubelet would exit over the
 * flag, and where it cannot be told whether the word before swallows it (see walkFlags). Entries come as they stand;
 * whether the kubelet likes them is checkEntries' question.
 */
export function readAllowlistFlag(args: readonly string[]): FlagReading {
  const mistyped = args.find((arg) => mistypedFlag.test(arg));
  if (mistyped !== undefined) return unreadable(`${mistyped} does not begin with two dashes`, twoDashes);

  const occurrences: FlagOccurrence[] = [];
  for (const flag of walkFlags(args).filter(isAllowlistFlag)) {
    if (!flag.certain) {
      return unreadable(
        `${flag.spelled} may be the value of the flag before it, ${args[flag.index - 1] ?? ''}`,
        'Write that flag and its value as one word, --name=value.',
      );
    }
    if (flag.value === undefined) {
      return unreadable(`flag needs an argument: ${flag.spelled}`, `Write ${flag.spelled}=NAME,NAME.`);
    }
    const record = readCsvRecord(flag.value);
    if (!record.ok) {
      return unreadable(
        `invalid argument ${JSON.stringify(flag.value)} for "${flag.spelled}" flag: ${record.complaint}`,
        'Leave the quotes out; the value is a list with commas and no blanks.',
      );
    }
    occurrences.push(occurrence(flag, flag.value, record.fields));
  }

  const experimental = occurrences.filter(({ name }) => canonical(name) === experimentalAllowlistFlag);
  if (experimental.length > 0 && experimental.length < occurrences.length) {
    return unreadable(
      `--${allowlistFlag} and --${experimentalAllowlistFlag} stand together, and no kubelet knows both`,
      `Keep --${allowlistFlag} for a kubelet from 1.11 on, the other one for an older kubelet.`,
    );
  }
  return {
    ok: true,
    occurrences,
    entries: occurrences.length === 0 ? undefined : occurrences.flatMap(({ entries }) => entries),
    experimental: experimental.length > 0,
  };
}

/**
 * The value of another flag, the last one given; undefined where it is absent or has no value. A boolean without `=`
 * is `true`. A word that the flag before may have swallowed still counts as a flag here.
 */
export function readFlag(args: readonly string[], name: string): string | undefined {
  const wanted = canonical(name);
  const flag = walkFlags(args).findLast((candidate) => candidate.dashes === 2 && candidate.name === wanted);
  return flag?.value ?? (flag !== undefined && booleanFlags.has(wanted) ? 'true' : undefined);
}

/**
 * The flag as one word, in the order given. Only for entries that passed checkEntries: they hold nothing that CSV,
 * systemd or a shell reads as syntax. No entries: an empty flag, which hides the list of the config file.
 */
export function renderFlag(entries: readonly string[], experimental = false): string {
  return `--${experimental ? experimentalAllowlistFlag : allowlistFlag}=${entries.join(',')}`;
}

// One dash, a dash that is none (word processors make en dashes of two), or none at all in front of the name.
const mistypedFlag = /^(-|[\u2010-\u2015\u2212]+-?)?(experimental[-_])?allowed[-_]unsafe[-_]sysctls(=|$)/;
const twoDashes = `Write --${allowlistFlag}=NAME,NAME.`;

function occurrence(flag: FlagWord, value: string, entries: readonly string[]): FlagOccurrence {
  return { index: flag.index, words: flag.words, name: flag.spelled, value, entries };
}

function canonical(name: string): string {
  return name.replace(/^--/, '').replaceAll('_', '-');
}

function unreadable(what: string, next: string): FlagReading {
  return {
    ok: false,
    problem: {
      code: 'KUBELET_FLAG_UNREADABLE',
      message: `cannot read the allowlist flag of the kubelet's command line: ${what}`,
      next,
    },
  };
}
