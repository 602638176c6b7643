import { readFileSync } from 'node:fs';
import type { CliContext } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { loadPolicy } from './load-policy.ts';
import type { PolicyOptions } from './options.ts';

/** `read-policy`: the other side of policy-child. Not for people: its output follows no schema. */
export async function readPolicy(context: CliContext): Promise<ExitCode> {
  // Written by the very same program, a moment ago.
  const options = JSON.parse(readFileSync(0, 'utf8')) as PolicyOptions;
  context.stdout.write(JSON.stringify(await loadPolicy(options)));
  return exitCodes.done;
}
