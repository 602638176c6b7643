import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { type ForceableCode, forceableCodes } from '../errors.ts';
import {
  existingRules,
  narrowingRules,
  placements,
  policyDefaults,
  remediations,
} from '../policy/vocabulary.ts';

export const outputs = ['text', 'json'] as const;
export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;

export type Output = (typeof outputs)[number];
export type LogLevel = (typeof logLevels)[number];

/** What every command takes. */
export interface OutputOptions {
  readonly output: Output;
  readonly logLevel: LogLevel;
}

export interface RootOptions {
  readonly root: string;
}

/** Where the policy comes from: documents, and the short cuts without one. */
export interface PolicyOptions {
  readonly policy?: readonly string[];
  readonly allow?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly unit?: string;
  readonly placement?: string;
  readonly existing?: string;
  readonly narrowing?: string;
  readonly probation?: string;
  readonly remediation?: string;
  readonly nodeLabels?: Readonly<Record<string, string>>;
}

export interface ForceOptions {
  readonly force?: readonly ForceableCode[];
}

/** Adds `--output` and `--log-level`. */
export function withOutput(command: Command): Command {
  return command
    .addOption(
      mirrored('--output <format>', `${outputs.join(' or ')}; json is one object, see docs/json.md`)
        .choices(outputs)
        .default('text'),
    )
    .addOption(
      mirrored('--log-level <level>', 'log lines (JSON) on standard error; info shows every step')
        .choices(logLevels)
        .default('error'),
    );
}

/** Adds `--root`. */
export function withRoot(command: Command): Command {
  return command.addOption(
    mirrored('--root <dir>', "the host's root as it is mounted here, or an image without a running systemd")
      .argParser((value) => (value === '' ? '/' : value))
      .default('/'),
  );
}

/** Adds `--policy` and `--allow`. */
export function withAllow(command: Command): Command {
  return command
    .addOption(
      mirrored(
        '--policy <path>',
        'policy file, or a directory of *.yaml, *.yml and *.json; repeatable',
      ).argParser(collect),
    )
    .addOption(
      mirrored(
        '--allow <entries>',
        'entries the kubelet must allow, separated by commas; repeatable',
      ).argParser(collect),
    );
}

/** Adds `--policy` and all short cuts. */
export function withPolicy(command: Command): Command {
  return withAllow(command)
    .addOption(mirrored('--sysctl <name=value>', "a value of the node's own; repeatable").argParser(collect))
    .addOption(
      mirrored('--unit <name>', `the systemd service of the kubelet; ${otherwise('unit')}`).argParser(text),
    )
    .addOption(
      mirrored('--placement <kind>', `${placements.join(', ')}; ${otherwise('placement')}`).argParser(text),
    )
    .addOption(
      mirrored(
        '--existing <rule>',
        `entries already in force: ${existingRules.join(' or ')}; ${otherwise('existing')}`,
      ).argParser(text),
    )
    .addOption(
      mirrored(
        '--narrowing <rule>',
        `entries that running pods use: ${narrowingRules.join(' or ')}; ${otherwise('narrowing')}`,
      ).argParser(text),
    )
    .addOption(
      mirrored(
        '--probation <time>',
        `how long the kubelet must prove itself, 1s to 30m; ${otherwise('probation')}`,
      ).argParser(text),
    )
    .addOption(
      mirrored(
        '--remediation <kind>',
        `for --sysctl: ${remediations.join(' or ')} (default Write)`,
      ).argParser(text),
    )
    .addOption(
      mirrored(
        '--node-labels <labels>',
        "k=v,… of this node, for policies with a nodeSelector; run in a cluster takes the Node's own",
      ).argParser(labels),
    );
}

/** What counts without the option. */
function otherwise(setting: 'unit' | 'placement' | 'existing' | 'narrowing' | 'probation'): string {
  return `without it the policy's, else ${policyDefaults[setting]}`;
}

/** Adds `--force`. */
export function withForce(command: Command): Command {
  return command.addOption(
    mirrored('--force <code>', 'overrule a refusal, by its code; repeatable').argParser(forced),
  );
}

/** Whether files or flags have a part in the policy: a setting alone overrules what documents elsewhere state. */
export function statesPolicy(options: PolicyOptions): boolean {
  const { policy, allow, sysctl, unit, placement, existing, narrowing, probation } = options;
  return [policy, allow, sysctl, unit, placement, existing, narrowing, probation].some(
    (stated) => stated !== undefined,
  );
}

/** An argument that takes one or more words. */
export function several(name: string, description: string): Argument {
  return new Argument(`<${name}...>`, description);
}

/** An option and its environment variable: `--log-level` and `KSA_LOG_LEVEL`. */
export function mirrored(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.env(`KSA_${option.name().replaceAll('-', '_').toUpperCase()}`);
}

/**
 * A switch, and its variable. Manifests spell variables out: `KSA_DRY_RUN=false`, or an unset template's nothing, leaves
 * it off instead of on.
 */
export function switched(flags: string, description: string): Option {
  return mirrored(`${flags} [true|false]`, description).argParser((value: string | undefined) => {
    if (value === undefined || value === 'true' || value === '1') return true;
    if (value === 'false' || value === '0' || value === '') return false;
    throw new InvalidArgumentError('Write true or false.');
  });
}

/** Adds a value to a repeatable option. A variable holds several, one a line; empty ones are an unset template's. */
export function collect(
  value: string,
  previous: readonly string[] | undefined,
): readonly string[] | undefined {
  const values = value.split('\n').filter((line) => line.trim() !== '');
  const all = [...(previous ?? []), ...values];
  return all.length === 0 ? undefined : all;
}

function text(value: string): string | undefined {
  return value === '' ? undefined : value;
}

function forced(value: string, previous: readonly ForceableCode[] | undefined): readonly ForceableCode[] {
  const codes = value
    .split(/[\n,]/)
    .map((code) => code.trim())
    .filter((code) => code !== '');
  return [...(previous ?? []), ...codes.map(forceable)];
}

function forceable(code: string): ForceableCode {
  const found = forceableCodes.find((known) => known === code.toUpperCase());
  if (found === undefined)
    throw new InvalidArgumentError(
      `It is no refusal that can be overruled. These can: ${forceableCodes.join(', ')}.`,
    );
  return found;
}

function labels(value: string): Readonly<Record<string, string>> | undefined {
  const pairs = value
    .split(/[\n,]/)
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '');
  if (value === '') return undefined;
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new InvalidArgumentError(`${JSON.stringify(pair)} is no label. Write KEY=VALUE.`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
