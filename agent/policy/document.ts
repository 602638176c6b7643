import type { Place } from '../errors.ts';
import { parseDuration } from './durations.ts';
import type { Expectation, PolicyDocument, WrittenPolicy } from './schema.ts';
import { expectationKinds, policyDefaults } from './vocabulary.ts';
import type { Setting } from './vocabulary.ts';

/** The document with its defaults filled in, and a note of what it stated itself. */
export function documentOf(
  written: WrittenPolicy,
  origin: PolicyDocument['origin'],
  where?: Place,
): PolicyDocument {
  const { nodeSelector, kubelet = {}, sysctls = [], rollout = {} } = written.spec;
  const settings: Record<Setting, unknown> = {
    unit: kubelet.unit,
    existing: kubelet.existing,
    narrowing: kubelet.narrowing,
    placement: kubelet.placement,
    maxUnavailable: rollout.maxUnavailable,
    maxFailed: rollout.maxFailed,
    probation: rollout.probation,
  };
  return {
    metadata: { name: written.metadata.name },
    spec: {
      ...(nodeSelector === undefined ? {} : { nodeSelector }),
      kubelet: {
        unit: kubelet.unit ?? policyDefaults.unit,
        allowedUnsafeSysctls: kubelet.allowedUnsafeSysctls ?? [],
        existing: kubelet.existing ?? policyDefaults.existing,
        narrowing: kubelet.narrowing ?? policyDefaults.narrowing,
        placement: kubelet.placement ?? policyDefaults.placement,
      },
      sysctls: sysctls.map((item) => ({
        name: item.name,
        expectation: expectationOf(item),
        remediation: item.remediation ?? policyDefaults.remediation,
        remediationStated: item.remediation !== undefined,
      })),
      rollout: {
        maxUnavailable: rollout.maxUnavailable ?? policyDefaults.maxUnavailable,
        maxFailed: rollout.maxFailed ?? policyDefaults.maxFailed,
        probationMs: parseDuration(rollout.probation ?? policyDefaults.probation) ?? 0,
      },
    },
    stated: (Object.keys(settings) as Setting[]).filter((setting) => settings[setting] !== undefined),
    origin,
    ...(where === undefined ? {} : { where }),
  };
}

type WrittenSysctl = NonNullable<WrittenPolicy['spec']['sysctls']>[number];

function expectationOf(item: WrittenSysctl): Expectation {
  const kind = expectationKinds.find((candidate) => item[candidate] !== undefined) ?? 'value';
  return { kind, value: item[kind] ?? '' };
}
