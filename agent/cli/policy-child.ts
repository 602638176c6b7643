import type { PolicySource } from '../engine/loop-ports.ts';
import { AgentError, problemOf } from '../errors.ts';
import type { Commands } from '../host/commands.ts';
import type { LoadedPolicy } from './load-policy.ts';
import type { PolicyOptions } from './options.ts';

/** The hidden command that reads PolicyOptions as JSON on its standard input and prints a LoadedPolicy. */
export const readPolicyCommand = 'read-policy';

/**
 * Policies from files and flags, read by a process of ours that ends again: the schema and its library are 4 MiB that
 * a policy which changes once a week does not need all day.
 */
export function policiesByChild(commands: Commands, options: PolicyOptions): PolicySource {
  const { policy, allow, sysctl, unit, placement, existing, narrowing, probation, remediation, nodeLabels } =
    options;
  const asked = {
    policy,
    allow,
    sysctl,
    unit,
    placement,
    existing,
    narrowing,
    probation,
    remediation,
    nodeLabels,
  };
  return {
    files: policy ?? [],
    onChange: () => undefined,
    async load() {
      try {
        const script = process.argv[1] ?? '';
        const result = await commands.run(
          process.execPath,
          [...process.execArgv, script, readPolicyCommand],
          {
            deadlineMs: 60_000,
            input: JSON.stringify(asked),
            maxBytes: 64 * 1024 * 1024,
          },
        );
        if (result.kind === 'exited' && result.code === 0) return JSON.parse(result.stdout) as LoadedPolicy;
        const why =
          result.kind === 'exited' ? `exit code ${result.code}: ${result.stderr.trim()}` : result.kind;
        throw new AgentError('INTERNAL', `the process that reads policies failed: ${why}`);
      } catch (error) {
        return { ok: false, problems: [problemOf(error)] };
      }
    },
  };
}
