import { unreachable } from '../errors.ts';
import type { Problem } from '../errors.ts';
import { normaliseName } from '../sysctl/names.ts';
import { oneBlank, tighter, within } from '../sysctl/bounds.ts';
import type { Expectation, PolicyDocument, PolicySysctl } from './schema.ts';
import { policyDefaults } from './vocabulary.ts';
import type { Remediation } from './vocabulary.ts';

/** What a node's sysctl must be, and whose wish that is. */
export interface ExpectedSysctl {
  /** Normalised, in dots. */
  readonly name: string;
  readonly expectation: Expectation;
  readonly remediation: Remediation;
  /** The policy that decides the expectation; of several, the first by name. */
  readonly policy: string;
}

/**
 * One expectation for each sysctl, sorted by name. Equal values agree (blanks and tabs compare as one blank). Bounds of
 * one kind combine to the tighter. A value absorbs bounds that it keeps. Anything else is a POLICY_CONFLICT: two
 * values, a value outside a bound, a lower and an upper bound, bounds with different fields, Report against Write.
 */
export function mergeSysctls(policies: readonly PolicyDocument[]): {
  readonly sysctls: readonly ExpectedSysctl[];
  readonly problems: readonly Problem[];
} {
  const claims = new Map<string, Claim[]>();
  for (const policy of policies) {
    for (const sysctl of policy.spec.sysctls) {
      const name = normaliseName(sysctl.name);
      claims.set(name, [...(claims.get(name) ?? []), { policy, sysctl }]);
    }
  }
  const problems: Problem[] = [];
  const sysctls = [...claims]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, claimed]) => {
      const merged = mergeClaims(name, claimed);
      problems.push(...merged.problems);
      return merged.sysctl === undefined ? [] : [merged.sysctl];
    });
  return { sysctls, problems };
}

interface Claim {
  readonly policy: PolicyDocument;
  readonly sysctl: PolicySysctl;
}

function mergeClaims(
  name: string,
  claims: readonly Claim[],
): { readonly sysctl?: ExpectedSysctl; readonly problems: readonly Problem[] } {
  const values = claims.filter(({ sysctl }) => sysctl.expectation.kind === 'value');
  const conflicts = [...clashes(name, claims, values), ...remediationClash(name, claims)];
  if (conflicts.length > 0) return { problems: conflicts };
  const winner = values[0] === undefined ? tightest(claims) : decided(values[0]);
  if (winner === undefined) return { problems: [] };
  const remediation = claims.find(({ sysctl }) => sysctl.remediationStated)?.sysctl.remediation;
  return {
    sysctl: { name, remediation: remediation ?? policyDefaults.remediation, ...winner },
    problems: [],
  };
}

// Each claim against the first that it contradicts: one problem for a wish that cannot be met, not one for each pair.
function clashes(name: string, claims: readonly Claim[], values: readonly Claim[]): readonly Problem[] {
  const ordered = [...values, ...claims.filter((claim) => !values.includes(claim))];
  return ordered.flatMap((claim, index) => {
    const against = ordered
      .slice(0, index)
      .find((earlier) => !agree(earlier.sysctl.expectation, claim.sysctl.expectation, values.length > 0));
    return against === undefined ? [] : [conflict(name, against, claim)];
  });
}

function agree(one: Expectation, other: Expectation, valueStated: boolean): boolean {
  if (one.kind === 'value') {
    return other.kind === 'value'
      ? oneBlank(one.value) === oneBlank(other.value)
      : within(other.kind, other.value, one.value) === true;
  }
  if (other.kind === 'value') return agree(other, one, valueStated);
  // Under a value each bound is judged against the value alone.
  if (valueStated) return true;
  return one.kind === other.kind && tighter(one.kind, one.value, other.value) !== undefined;
}

type Decision = Pick<ExpectedSysctl, 'expectation' | 'policy'>;

function decided({ policy, sysctl }: Claim): Decision {
  return { expectation: sysctl.expectation, policy: policy.metadata.name };
}

// All claims are bounds of one kind with equally many fields. Fields of several policies may meet in one bound.
function tightest(claims: readonly Claim[]): Decision | undefined {
  const [first] = claims;
  if (first === undefined) return undefined;
  const { kind } = first.sysctl.expectation;
  if (kind === 'value') return decided(first);
  let value = first.sysctl.expectation.value;
  for (const { sysctl } of claims) value = tighter(kind, value, sysctl.expectation.value) ?? value;
  const decisive =
    claims.find(({ sysctl }) => within(kind, value, sysctl.expectation.value) === true) ?? first;
  return { expectation: { kind, value }, policy: decisive.policy.metadata.name };
}

function remediationClash(name: string, claims: readonly Claim[]): readonly Problem[] {
  const stating = claims.filter(({ sysctl }) => sysctl.remediationStated);
  const [first] = stating;
  const other = stating.find(({ sysctl }) => sysctl.remediation !== first?.sysctl.remediation);
  if (first === undefined || other === undefined) return [];
  const [one, two] = [first, other].map(({ sysctl }) => `remediation ${sysctl.remediation}`);
  return [clash(name, first, other, `${one} and ${two}`)];
}

function conflict(name: string, one: Claim, other: Claim): Problem {
  return clash(name, one, other, `${wish(one.sysctl.expectation)} and ${wish(other.sysctl.expectation)}`);
}

function clash(name: string, one: Claim, other: Claim, wishes: string): Problem {
  const where = other.policy.where;
  return {
    code: 'POLICY_CONFLICT',
    message: `policies ${one.policy.metadata.name} and ${other.policy.metadata.name} select one node and differ in ${name}: ${wishes}`,
    ...(where === undefined ? {} : { where }),
    next: 'State it in one of them, state the same in both, or let their node selectors not overlap',
  };
}

function wish({ kind, value }: Expectation): string {
  switch (kind) {
    case 'value':
      return JSON.stringify(oneBlank(value));
    case 'atLeast':
      return `at least ${oneBlank(value)}`;
    case 'atMost':
      return `at most ${oneBlank(value)}`;
    default:
      return unreachable(kind);
  }
}
