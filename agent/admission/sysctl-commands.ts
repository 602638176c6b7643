import { programOf, shellCommands } from '../kubelet/shell-commands.ts';
import { fromProcPath, isValidSysctlName, normaliseName } from '../sysctl/names.ts';

/** A sysctl that a container's command sets; `value` undefined where the text does not tell it. */
export interface SysctlSetting {
  /** Normalised. */
  readonly name: string;
  readonly value: string | undefined;
}

export interface SysctlCommands {
  readonly settings: readonly SysctlSetting[];
  /** Some of it sets what a file says (`sysctl -p`, `--system`) or what a variable holds. */
  readonly opaque: boolean;
}

/** What a container's `command` and `args` set, by sysctl(8) or by writing below /proc/sys. Reads are no settings. */
export function sysctlCommands(argv: readonly string[]): SysctlCommands {
  const found = shellCommands(argv).map((words) =>
    programOf(words) === 'sysctl' ? bySysctl(words.slice(1)) : byFile(words),
  );
  return { settings: found.flatMap(({ settings }) => settings), opaque: found.some(({ opaque }) => opaque) };
}

function bySysctl(words: readonly string[]): SysctlCommands {
  const settings: { name: string; value: string }[] = [];
  let opaque = false;
  for (const word of words) {
    const at = word.indexOf('=');
    if (/^(-[a-zA-Z]*[pf]|--(load|system)(=.*)?)$/.test(word)) opaque = true;
    else if (word.startsWith('-')) continue;
    else if (at > 0) settings.push({ name: word.slice(0, at), value: word.slice(at + 1) });
    // The words of a value with blanks: quotes are gone by now.
    else append(settings, word);
  }
  return named(settings, opaque);
}

function byFile(words: readonly string[]): SysctlCommands {
  const copies = ['tee', 'dd', 'cp'].includes(programOf(words));
  const settings = words.flatMap((word, index) => {
    const path = /^(?:\d?>{1,2}\|?|of=)?(\/proc\/sys\/.+)$/.exec(word)?.[1];
    const written = /^(?:\d?>|of=)/.test(word) || /^\d?>{1,2}\|?$/.test(words[index - 1] ?? '') || copies;
    const name = path === undefined || !written ? undefined : fromProcPath(path);
    if (name === undefined) return [];
    const value = programOf(words) === 'echo' ? echoed(words.slice(1, index)) : undefined;
    return [{ name, value }];
  });
  return named(settings, false);
}

function echoed(words: readonly string[]): string | undefined {
  const value = words.filter((word) => !/^-[neE]+$|>/.test(word)).join(' ');
  return value === '' ? undefined : value;
}

function named(found: readonly SysctlSetting[], opaque: boolean): SysctlCommands {
  const settings = found
    .filter(({ name }) => isValidSysctlName(name) && !name.includes('$'))
    .map(({ name, value }) => ({
      name: normaliseName(name),
      value: value === undefined || value.includes('$') ? undefined : value.trim(),
    }));
  return { settings, opaque: opaque || settings.length < found.length };
}

function append(settings: { value: string }[], word: string): void {
  const last = settings.at(-1);
  if (last !== undefined) last.value += ` ${word}`;
}
