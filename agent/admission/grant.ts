import type { Problem } from '../errors.ts';
import { isCovered } from '../kubelet/allowlist.ts';
import { checkEntries } from '../kubelet/entries.ts';
import { safeSysctls } from '../kubelet/safe-sysctls.ts';
import { type KubeletVersion, parseKubeletVersion } from '../kubelet/version.ts';
import { entrySources } from '../policy/merge.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { type Scope, scopeOf, type WrittenScope } from './scope.ts';

/** Which sysctls a pod may set, and whose pods may set the unsafe ones. The one source of every rendering. Plain JSON. */
export interface Grant {
  /** What the objects are called. */
  readonly name: string;
  /** Unsafe sysctls, exact and normalised; none of them is covered by a prefix. */
  readonly names: readonly string[];
  /** What a name must begin with; each stands for an entry that ends in `*`. */
  readonly prefixes: readonly string[];
  /** The kubelet's safe sysctls: everybody's. */
  readonly safe: readonly string[];
  readonly scope: Scope;
  /** The policies that asked, sorted. */
  readonly policies: readonly string[];
  /** Those of them that only some nodes follow. */
  readonly partial: readonly string[];
}

export interface GrantQuestion extends WrittenScope {
  readonly name: string;
  /** The oldest kubelet of the cluster; undefined: the newest that is known (see defaultKubelet). */
  readonly kubelet?: KubeletVersion;
}

export type Granted =
  | { readonly ok: true; readonly grant: Grant; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * What the policies together grant. Entries are judged by the same rules as on a node. A policy for some nodes grants
 * like one for all of them: which nodes a pod may go to is the scheduler's to know, by the policy's label.
 */
export function grantOf(policies: readonly PolicyDocument[], question: GrantQuestion): Granted {
  const { kubelet = defaultKubelet } = question;
  const scope = scopeOf(question);
  const sources = entrySources(policies);
  const checked = checkEntries(
    sources.map(({ entry }) => entry),
    kubelet,
  );
  const problems = [...scope.problems, ...nameProblems(question.name), ...checked.problems];
  if (sources.length === 0) problems.push(nothingAllowed);
  if (problems.length > 0) return { ok: false, problems };

  const prefixes = checked.entries.filter((entry) => entry.endsWith('*'));
  const names = checked.entries.filter((entry) => !entry.endsWith('*') && !isCovered(prefixes, entry));
  return {
    ok: true,
    grant: {
      name: question.name,
      names,
      prefixes: prefixes.map((entry) => entry.slice(0, -1)),
      // Every kernel that these kubelets still run on has all of them.
      safe: safeSysctls(kubelet, oldestKernelWithAll),
      scope: scope.scope,
      policies: [...new Set(sources.flatMap((source) => source.policies))].sort(),
      partial: policies
        .filter(({ spec }) => spec.nodeSelector !== undefined && spec.kubelet.allowedUnsafeSysctls.length > 0)
        .map(({ metadata }) => metadata.name)
        .sort(),
    },
    warnings: checked.warnings,
  };
}

/**
 * The newest kubelet whose safe sysctls are known. A name that an older kubelet does not count as safe is then left to
 * that kubelet's own verdict, as without any policy; the other way round, pods that work today would be refused.
 */
export const defaultKubelet: KubeletVersion | undefined = parseKubeletVersion('Kubernetes v1.36.0');

const oldestKernelWithAll = { major: 4, minor: 15 } as const;

const nothingAllowed: Problem = {
  code: 'POLICY_INVALID',
  message: 'no policy allows any unsafe sysctl, so that there is nothing to grant',
  next: 'write spec.kubelet.allowedUnsafeSysctls, or use --allow ENTRY',
};

function nameProblems(name: string): readonly Problem[] {
  if (name.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) return [];
  return [
    {
      code: 'USAGE',
      message: `${JSON.stringify(name)} cannot be the name of an object`,
      next: 'lower case letters, digits and "-", 63 at most',
    },
  ];
}
