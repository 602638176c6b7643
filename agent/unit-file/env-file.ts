import { parseEnvFile } from './env-grammar.ts';
import type { EnvOptions } from './env-grammar.ts';

export { parseEnvFile } from './env-grammar.ts';
export type { EnvAssignment, EnvCharacter, EnvFile, EnvOptions } from './env-grammar.ts';
export { setEnvValue } from './env-edit.ts';

export interface EnvValue {
  readonly value: string;
  /** The path of the file that set it last, or `Environment=`. */
  readonly from: string;
}

/**
 * The variables a service gets: `inline` are the `K=V` strings of the D-Bus property Environment, `files` the
 * EnvironmentFiles in their order. A file beats Environment=, a later file an earlier one, a later line an earlier.
 */
export function readEnv(
  files: readonly { readonly path: string; readonly text: string }[],
  inline: readonly string[],
  options: EnvOptions,
): Map<string, EnvValue> {
  const variables = new Map<string, EnvValue>();
  for (const assignment of inline) {
    const equals = assignment.indexOf('=');
    if (equals < 1) continue;
    variables.set(assignment.slice(0, equals), {
      value: assignment.slice(equals + 1),
      from: 'Environment=',
    });
  }
  for (const { path, text } of files) {
    for (const { name, value } of parseEnvFile(text, options).assignments) {
      variables.set(name, { value, from: path });
    }
  }
  return variables;
}
