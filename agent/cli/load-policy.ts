import { AgentError, type Problem } from '../errors.ts';
import { policyFromFlags } from '../policy/from-flags.ts';
import { mergeForNode, type NodePolicy } from '../policy/merge.ts';
import { readPolicies } from '../policy/read.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { selects } from '../policy/select.ts';
import type { PolicyOptions } from './options.ts';
import { readPolicyFiles } from './policy-files.ts';

export type LoadedPolicy =
  | {
      readonly ok: true;
      readonly policy: NodePolicy;
      /** Names of policies that are meant for other nodes. */
      readonly others: readonly string[];
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** What the files and flags together want of this node. Every problem of all of them is reported at once. */
export async function loadPolicy(options: PolicyOptions): Promise<LoadedPolicy> {
  if (!wantsAnything(options)) return { ok: false, problems: [nothingWanted] };
  const found = await readPolicyFiles(options.policy ?? []);
  const read = readPolicies(found.files);
  const fromFlags = policyFromFlags({ ...options, allow: options.allow ?? [], sysctl: options.sysctl ?? [] });
  const policies = [...read.policies, ...fromFlags.policies];
  const problems = [
    ...found.problems,
    ...read.problems,
    ...fromFlags.problems,
    ...unknownSelections(policies, options),
  ];
  if (problems.length === 0 && policies.length === 0)
    problems.push(noDocument(found.files.map((file) => file.path)));
  if (problems.length > 0) return { ok: false, problems };

  const matching = policies.filter((policy) => selects(policy, options.nodeLabels) === 'matches');
  const merged = mergeForNode(matching);
  if (!merged.ok) return merged;
  const others = policies
    .filter((policy) => !matching.includes(policy))
    .map((policy) => policy.metadata.name);
  return { ok: true, policy: merged.policy, others };
}

/** Whether the flags ask for anything: a unit or a placement alone is no wish. */
export function wantsAnything(options: PolicyOptions): boolean {
  return (
    [options.policy, options.allow, options.sysctl].some((list) => list !== undefined) ||
    options.existing === 'Remove'
  );
}

/** The policy that wants nothing of a unit's kubelet. */
export function noPolicy(unit: string): NodePolicy {
  const merged = mergeForNode([]);
  if (!merged.ok) throw new AgentError('INTERNAL', 'no policy at all conflicts with itself');
  return { ...merged.policy, unit };
}

const nothingWanted: Problem = {
  code: 'USAGE',
  message: 'no policy was given',
  next: 'name one with --policy FILE, or say what you want: --allow net.core.somaxconn or --sysctl vm.max_map_count=262144',
};

/** A selector that nobody can judge must not be taken for a yes nor for a no: both would surprise. */
function unknownSelections(policies: readonly PolicyDocument[], options: PolicyOptions): readonly Problem[] {
  return policies
    .filter((policy) => selects(policy, options.nodeLabels) === 'unknown')
    .map((policy) => ({
      code: 'POLICY_INVALID',
      message: `policy ${policy.metadata.name} selects nodes by their labels, and the labels of this node are not known here`,
      ...(policy.where === undefined ? {} : { where: policy.where }),
      next: 'give them with --node-labels KEY=VALUE,… (see `kubectl get node NAME --show-labels`)',
    }));
}

function noDocument(paths: readonly string[]): Problem {
  return {
    code: 'POLICY_INVALID',
    message: `${paths.join(', ')} ${paths.length === 1 ? 'holds' : 'hold'} no NodeSysctlPolicy`,
    next: 'see docs/policy.md for one',
  };
}
