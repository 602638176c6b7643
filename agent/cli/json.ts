import type { Problem } from '../errors.ts';
import type { CliContext } from './context.ts';
import type { ExitCode } from './exit-codes.ts';

export const jsonCommands = [
  'plan',
  'apply',
  'rollback',
  'status',
  'fleet',
  'validate',
  'explain',
  'render',
  'audit',
] as const;
export type JsonCommand = (typeof jsonCommands)[number];

/** What every JSON object of the command line begins with; docs/json.md describes it. */
export interface JsonHead {
  readonly schema: `sysctl-agent.dev/${JsonCommand}/v1`;
  readonly agentVersion: string;
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly node: string;
  readonly outcome: string;
  readonly exitCode: ExitCode;
  readonly problems: readonly Problem[];
}

/** A command's whole object. */
export type JsonObject = JsonHead & Readonly<Record<string, unknown>>;

/** The head of a command's object. */
export function jsonHead(
  context: Pick<CliContext, 'agentVersion' | 'clock' | 'nodeName'>,
  command: JsonCommand,
  verdict: Pick<JsonHead, 'outcome' | 'exitCode' | 'problems'>,
): JsonHead {
  return {
    schema: `sysctl-agent.dev/${command}/v1`,
    agentVersion: context.agentVersion,
    at: new Date(context.clock.now()).toISOString(),
    node: context.nodeName,
    ...verdict,
  };
}

/** Prints one object, indented: people read it as well. */
export function writeJson(context: CliContext, value: JsonHead | JsonObject): void {
  context.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** The command of this name; undefined for one without a JSON shape, such as `run`. */
export function jsonCommand(name: string): JsonCommand | undefined {
  return jsonCommands.find((command) => command === name);
}
