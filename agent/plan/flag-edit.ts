import { AgentError, type Problem } from '../errors.ts';
import { sameEntries } from '../kubelet/allowlist.ts';
import { renderFlag } from '../kubelet/flag.ts';
import { readUnit } from '../unit-file/effective.ts';
import { appendWord, removeWords, replaceWord } from '../unit-file/edit.ts';
import { argvOf } from '../unit-file/exec.ts';
import type { KubeletCommand } from './command-line.ts';
import { wayOut } from './flag-variables.ts';
import type { LoadedCommand } from './observed.ts';
import type { Wanted } from './proposal.ts';

export type FlagEdit =
  | { readonly ok: true; readonly text: string; readonly commandAfter: LoadedCommand }
  | { readonly ok: false; readonly problem: Problem };

/**
 * Writes the allowlist into the ExecStart of a unit text, in that text's own style: a flag that stands there is
 * extended where it stands, otherwise one word is added at the end. Several flags add up (pflag's StringSlice appends),
 * so entries that come from a variable stay in force beside ours.
 */
export function editFlag(text: string, path: string, command: KubeletCommand, wanted: Wanted): FlagEdit {
  try {
    return wanted.exact
      ? setExactly(text, path, command, wanted)
      : addMissing(text, path, command, wanted.entries);
  } catch (error) {
    if (error instanceof AgentError)
      return {
        ok: false,
        problem: {
          code: error.code,
          message: error.message.includes(path) ? error.message : `${path}: ${error.message}`,
          next: error.next ?? 'write the command in a plainer way, or choose another placement',
        },
      };
    throw error;
  }
}

function addMissing(
  text: string,
  path: string,
  command: KubeletCommand,
  entries: readonly string[],
): FlagEdit {
  const last = command.literal.at(-1);
  if (last === undefined) return append(text, path, command, entries);
  const have = new Set(command.flagEntries);
  const missing = entries.filter((entry) => !have.has(entry));
  const value = [...(last.value === '' ? [] : [last.value]), ...missing].join(',');
  return replaceValue(text, path, command, last, value);
}

function setExactly(
  text: string,
  path: string,
  command: KubeletCommand,
  { entries, withoutFlag }: Wanted,
): FlagEdit {
  const inUnit = command.literal.flatMap((occurrence) => occurrence.entries);
  const elsewhere = (command.flagEntries ?? []).filter((entry) => !inUnit.includes(entry));
  const surplus = elsewhere.filter((entry) => !entries.includes(entry));
  if (surplus.length > 0) {
    return {
      ok: false,
      problem: {
        code: 'PLACEMENT_IMPOSSIBLE',
        message: `${surplus.join(', ')} come from ${variableNames(command)}, not from the command itself`,
        next: wayOut(command.flagVariables),
      },
    };
  }
  // An empty flag is one all the same: it hides the list of the configuration file.
  const needless = sameEntries(entries, withoutFlag);
  const last = command.literal.at(-1);
  if (last === undefined) return needless ? unchanged(text, command) : append(text, path, command, entries);
  let edited = text;
  let argv = [...command.loaded.argv];
  // From the back, so that indices of earlier words stay true.
  if (needless) {
    for (const occurrence of [...command.literal].reverse()) {
      edited = removeWords(
        edited,
        originIn(edited, path, command),
        wordIndex(command, occurrence.index),
        wordIndex(command, occurrence.index + occurrence.words),
      );
      argv = argv.toSpliced(occurrence.index, occurrence.words);
    }
    return finish(edited, path, command, argv);
  }
  const replaced = replaceValue(edited, path, command, last, entries.join(','));
  if (!replaced.ok) return replaced;
  edited = replaced.text;
  argv = [...replaced.commandAfter.argv];
  for (const occurrence of command.literal.slice(0, -1).reverse()) {
    edited = removeWords(
      edited,
      originIn(edited, path, command),
      wordIndex(command, occurrence.index),
      wordIndex(command, occurrence.index + occurrence.words),
    );
    argv = argv.toSpliced(occurrence.index, occurrence.words);
  }
  return finish(edited, path, command, argv);
}

function variableNames({ flagVariables }: KubeletCommand): string {
  if (flagVariables.length === 0) return 'a variable of the command line';
  return flagVariables.map(({ name, from }) => `$${name} (set by ${from})`).join(' and ');
}

function append(text: string, path: string, command: KubeletCommand, entries: readonly string[]): FlagEdit {
  const word =
    command.wordPrefix === undefined
      ? renderFlag(entries, command.experimental)
      : `${command.wordPrefix}${entries.join(',')}`;
  return finish(appendWord(text, originIn(text, path, command), word), path, command, [
    ...command.loaded.argv,
    word,
  ]);
}

function replaceValue(
  text: string,
  path: string,
  command: KubeletCommand,
  occurrence: KubeletCommand['literal'][number],
  value: string,
): FlagEdit {
  const index = occurrence.words === 1 ? occurrence.index : occurrence.index + 1;
  const word = `${occurrence.prefix}${value}`;
  const argv = command.loaded.argv.with(index, word);
  return finish(
    replaceWord(text, originIn(text, path, command), wordIndex(command, index), word),
    path,
    command,
    argv,
  );
}

function unchanged(text: string, command: KubeletCommand): FlagEdit {
  return { ok: true, text, commandAfter: command.loaded };
}

/** The edited text must read back as exactly the command that was meant; specifiers are systemd's to fill in. */
function finish(text: string, path: string, command: KubeletCommand, argv: readonly string[]): FlagEdit {
  const written = readUnit([{ path, text }]).commands('ExecStart').at(-1);
  const words = written === undefined ? [] : argvOf(written.command);
  const specifiers = written?.command.words.some((word) => word.hasSpecifier) ?? false;
  if (words.length !== argv.length || (!specifiers && !words.every((word, index) => word === argv[index]))) {
    throw new AgentError('UNIT_UNREADABLE', 'the edited command does not read back as it was meant');
  }
  return { ok: true, text, commandAfter: { ...command.loaded, argv } };
}

function originIn(text: string, path: string, command: KubeletCommand): KubeletCommand['written']['origin'] {
  const found = readUnit([{ path, text }]).commands('ExecStart').at(-1);
  return found?.origin ?? command.written.origin;
}

/** With the prefix `@` the unit names the program and argv[0] as two words. */
function wordIndex(command: KubeletCommand, argvIndex: number): number {
  return command.written.command.prefixes.includes('@') ? argvIndex + 1 : argvIndex;
}
