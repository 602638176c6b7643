import type { Problem } from '../errors.ts';
import { policyFromFlags } from '../policy/from-flags.ts';
import { readPolicies } from '../policy/read.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { type PolicyOptions, statesPolicy } from './options.ts';
import { readPolicyFiles } from './policy-files.ts';

/** All policies that files and flags state, whichever nodes they are for, with every problem of all of them. */
export async function loadDocuments(
  options: PolicyOptions,
): Promise<{ readonly policies: readonly PolicyDocument[]; readonly problems: readonly Problem[] }> {
  if (!statesPolicy(options)) return { policies: [], problems: [nothingGiven] };
  const found = await readPolicyFiles(options.policy ?? []);
  const read = readPolicies(found.files);
  const fromFlags = policyFromFlags({ ...options, allow: options.allow ?? [], sysctl: options.sysctl ?? [] });
  return {
    policies: [...read.policies, ...fromFlags.policies],
    problems: [...found.problems, ...read.problems, ...fromFlags.problems],
  };
}

const nothingGiven: Problem = {
  code: 'USAGE',
  message: 'no policy was given',
  next: 'name one with --policy FILE, or say what is allowed: --allow net.core.somaxconn',
};
