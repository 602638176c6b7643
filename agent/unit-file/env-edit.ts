import { AgentError, unreachable } from '../errors.ts';
import { parseEnvFile } from './env-grammar.ts';
import type { EnvAssignment, EnvCharacter, EnvOptions } from './env-grammar.ts';
import { lineEndAt, physicalLines } from './lines.ts';
import { smallestSplice } from './rewrite.ts';

/**
 * Give a variable a new value in an EnvironmentFile: its last assignment is changed in its own style, or a line is
 * added. The new text is parsed again (by both grammars when the version is unknown), and every other byte and
 * value is what it was; where that cannot be had, throws UNIT_UNREADABLE.
 */
export function setEnvValue(text: string, name: string, newValue: string, options: EnvOptions): string {
  const versions = options.systemdVersion === undefined ? [253, 254] : [options.systemdVersion];
  const candidates = versions.flatMap((systemdVersion) => {
    const assignment = parseEnvFile(text, { systemdVersion }).assignments.findLast(
      (one) => one.name === name,
    );
    return assignment === undefined ? appended(text, name, newValue) : changed(text, assignment, newValue);
  });
  for (const candidate of candidates) {
    if (versions.every((systemdVersion) => isProven(text, candidate, name, newValue, { systemdVersion }))) {
      return candidate;
    }
  }
  throw new AgentError('UNIT_UNREADABLE', `cannot set ${name} without changing other variables`, {
    next: 'simplify the environment file by hand, or choose another placement',
  });
}

function changed(text: string, assignment: EnvAssignment, newValue: string): readonly string[] {
  const whole = (raw: string): string =>
    text.slice(0, assignment.valueStart) + raw + text.slice(assignment.valueEnd);
  const candidates: string[] = [];
  const change = smallestSplice(assignment.characters, newValue);
  if (change !== undefined) {
    const raw = encode(change.text, change.beside.quote, assignment);
    if (raw !== undefined) candidates.push(text.slice(0, change.start) + raw + text.slice(change.end));
  }
  for (const quote of [assignment.quote, '"'] as const) {
    const raw = encode(newValue, quote, undefined);
    if (raw !== undefined) candidates.push(whole(`${quote}${raw}${quote}`));
  }
  return candidates;
}

function appended(text: string, name: string, newValue: string): readonly string[] {
  const lines = physicalLines(text);
  const markers = lines.map((line) => lineEndAt(text, line.contentEnd)).filter((marker) => marker !== '');
  const marker = markers.at(-1) ?? '\n';
  const raw = encode(newValue, '', undefined) ?? `"${encode(newValue, '"', undefined) ?? ''}"`;
  const line = `${name}=${raw}${marker}`;
  const open = lines.length > 0 && lineEndAt(text, lines.at(-1)?.contentEnd ?? 0) === '';
  // The second one is for a last line that ends in a backslash.
  return [text + (open ? marker : '') + line, text + (open ? marker : '') + marker + line];
}

// Such files are often read by shells too: bare text stays free of what a shell would take apart or expand.
function encode(
  text: string,
  quote: EnvCharacter['quote'],
  beside: EnvAssignment | undefined,
): string | undefined {
  switch (quote) {
    case "'":
      return text.includes("'") ? undefined : text;
    case '"':
      return text.replaceAll(/["\\`$]/g, String.raw`\$&`);
    case '': {
      const loose = beside?.characters.some((one) => one.quote === '' && /[ \t]/.test(one.text)) === true;
      return (loose ? /^[\w@%+=:,./* \t-]*$/ : /^[\w@%+=:,./*-]*$/).test(text) ? text : undefined;
    }
    default:
      return unreachable(quote);
  }
}

function isProven(
  before: string,
  after: string,
  name: string,
  newValue: string,
  options: EnvOptions,
): boolean {
  const old = parseEnvFile(before, options);
  const now = parseEnvFile(after, options);
  const changedAt = old.assignments.findLastIndex((one) => one.name === name);
  const index = changedAt === -1 ? old.assignments.length : changedAt;
  const edited = now.assignments[index];
  if (old.refused || edited?.name !== name || edited.value !== newValue) return false;
  if (now.assignments.length !== Math.max(old.assignments.length, index + 1)) return false;
  if (old.ignored.length !== now.ignored.length) return false;
  return old.assignments.every((one, at) => {
    const other = now.assignments[at];
    return at === index || (one.name === other?.name && one.value === other.value);
  });
}
