import { AgentError } from '../errors.ts';
import { sameWords } from '../kubelet/argv.ts';
import { readAllowlistFlag, renderFlag } from '../kubelet/flag.ts';
import { readEnv, setEnvValue } from '../unit-file/env-file.ts';
import { splitWords } from '../unit-file/expand.ts';
import { smallestSplice } from '../unit-file/rewrite.ts';
import { scanWord } from '../unit-file/words.ts';
import type { KubeletCommand } from './command-line.ts';
import { rewrittenFiles, wayOut } from './flag-variables.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

/**
 * Puts the flag into a variable that the command expands as a word of its own, in the EnvironmentFile that wins for
 * it. `${NAME}` is no such word: it stays one argument whatever it holds.
 */
export function placeInEnvironment(
  observed: ObservedNode,
  command: KubeletCommand,
  wanted: Wanted,
): Proposal {
  if (command.loaded.flags.includes('no-env-expand'))
    return impossible('the command has the prefix ":", so that systemd expands no variable in it', otherWay);
  const names = [
    ...new Set(
      command.loaded.argv.filter((word) => /^\$[A-Za-z_]\w*$/.test(word)).map((word) => word.slice(1)),
    ),
  ];
  if (names.length === 0) {
    const braced = command.loaded.argv.some((word) => /\$\{\w+\}/.test(word));
    return impossible(
      braced
        ? 'the command names variables only as ${NAME}, which is one argument whatever it holds'
        : 'the command expands no variable',
      otherWay,
    );
  }
  if (wanted.exact && command.literal.length > 0)
    return impossible(
      'the flag stands in the unit itself, where a variable cannot take it away',
      'use placement: Unit',
    );

  const places = names.map((name) => placeOf(observed, name));
  const holders = places.filter(({ value }) => holdsFlag(value));
  const reasons: string[] = [];
  for (const place of wanted.exact && holders.length > 0 ? holders : inPreference(places)) {
    const proposal = writeInto(observed, command, place, wanted);
    if (proposal.ok) return proposal;
    reasons.push(`$${place.name}: ${proposal.problem.message}`);
  }
  return impossible(
    `no variable of the command can take it (${reasons.join('; ')})`,
    wanted.exact && holders.length > 0 ? wayOut(command.flagVariables) : otherWay,
  );
}

const otherWay = 'use placement: Auto, Unit or DropIn';

interface VariablePlace {
  readonly name: string;
  readonly value: string;
  /** Path of the file that wins for it, `Environment=`, or undefined where nothing sets it. */
  readonly from: string | undefined;
}

function placeOf(observed: ObservedNode, name: string): VariablePlace {
  const read = readEnv(observed.environmentFiles, observed.unit?.environment ?? [], {
    systemdVersion: observed.systemdVersion,
  }).get(name);
  return { name, value: read?.value ?? '', from: read?.from };
}

/** A variable that holds the flag already, then the one meant for admins, then the others. */
function inPreference(places: readonly VariablePlace[]): readonly VariablePlace[] {
  const rank = (place: VariablePlace): number => {
    if (holdsFlag(place.value)) return 0;
    if (/^KUBELET_EXTRA_(ARGS|OPTS)$/.test(place.name)) return 1;
    if (/^(DAEMON_ARGS|KUBELET_(OPTS|ARGS|CUSTOM_FLAGS|FLAGS))$/.test(place.name))
      return place.from === undefined ? 3 : 2;
    return place.from === undefined ? 5 : 4;
  };
  return [...places].sort((a, b) => rank(a) - rank(b));
}

function writeInto(
  observed: ObservedNode,
  command: KubeletCommand,
  place: VariablePlace,
  wanted: Wanted,
): Proposal {
  if (place.from === 'Environment=')
    return impossible(
      'it is set by Environment= of the unit, which an EnvironmentFile would hide',
      'use placement: Unit or DropIn',
    );
  const target = targetOf(observed, place);
  if (typeof target === 'string') return impossible(target, otherWay);
  const value = newValue(place.value, command, wanted);
  if (value === undefined)
    return impossible(
      'its value is quoted so that no word can be added or changed',
      'simplify its value by hand',
    );
  let text: string;
  try {
    text = setEnvValue(target.file?.text ?? '', place.name, value, {
      systemdVersion: observed.systemdVersion,
    });
  } catch (error) {
    if (error instanceof AgentError) return impossible(`${target.path}: ${error.message}`, otherWay);
    throw error;
  }
  const path = target.file?.realPath ?? target.path;
  return {
    ok: true,
    kind: 'EnvironmentFile',
    path,
    files: [{ path, before: target.file ?? null, after: text }],
    reload: false,
    commandAfter: command.loaded,
    dropIns: [],
  };
}

/** The file to write: the one that wins, or, for a variable that nothing sets, the last one that is the admin's. */
function targetOf(
  observed: ObservedNode,
  place: VariablePlace,
): { path: string; file: ObservedFile | undefined } | string {
  if (place.from !== undefined) {
    const file = observed.environmentFiles.find(({ path }) => path === place.from);
    if (file === undefined) return `${place.from} cannot be read`;
    return rewrittenFiles.has(file.realPath) || rewrittenFiles.has(file.path)
      ? `${file.path} is written anew by something else`
      : { path: file.path, file };
  }
  const references = observed.unit?.environmentFiles ?? [];
  for (const { path } of [...references].reverse()) {
    if (!path.startsWith('/etc/') || rewrittenFiles.has(path) || /[*?[%]/.test(path)) continue;
    const file = observed.environmentFiles.find((candidate) => candidate.path === path);
    if (file !== undefined || !observed.unreadable.some((other) => other.path === path))
      return { path, file };
  }
  return 'nothing sets it, and the unit reads no file of the admin under /etc';
}

function newValue(value: string, command: KubeletCommand, wanted: Wanted): string | undefined {
  const words = splitWords(value);
  const flag = readAllowlistFlag(words);
  if (!flag.ok) return undefined;
  const last = flag.occurrences.at(-1);
  if (last === undefined) {
    const entries = wanted.exact ? wanted.entries : missingFrom(command, wanted);
    const added = renderFlag(entries, command.experimental);
    const joined = `${value}${value === '' || /\s$/.test(value) ? '' : ' '}${added}`;
    return sameWords(splitWords(joined), [...words, added]) ? joined : undefined;
  }
  if (wanted.exact && flag.occurrences.length > 1) return undefined;
  const index = last.words === 1 ? last.index : last.index + 1;
  const old = last.value === '' ? [] : [last.value];
  const list = wanted.exact ? wanted.entries.join(',') : [...old, ...missingFrom(command, wanted)].join(',');
  const word = last.words === 1 ? `${last.name}=${list}` : list;
  const replaced = replaceInValue(value, index, word);
  return replaced !== undefined && sameWords(splitWords(replaced), words.with(index, word))
    ? replaced
    : undefined;
}

function missingFrom(command: KubeletCommand, wanted: Wanted): readonly string[] {
  const have = new Set(command.flagEntries);
  return wanted.entries.filter((entry) => !have.has(entry));
}

/** One word of a value made another, in the quotes that it stands in. */
function replaceInValue(value: string, index: number, word: string): string | undefined {
  let at = 0;
  for (let count = 0; ; count++) {
    const scan = scanWord(value, at, 'value');
    if (scan.kind !== 'word') return undefined;
    if (count === index) {
      const change = smallestSplice(scan.word.characters, word);
      return change === undefined
        ? undefined
        : value.slice(0, change.start) + change.text + value.slice(change.end);
    }
    at = scan.word.end;
  }
}

function holdsFlag(value: string): boolean {
  return /allowed[-_]unsafe[-_]sysctls/.test(value);
}
