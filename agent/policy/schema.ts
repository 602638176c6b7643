import * as z from 'zod';
import type { Place } from '../errors.ts';
import { durationPattern, parseDuration } from './durations.ts';
import { nodeSelectorSchema } from './schema-selector.ts';
import { setting } from './schema-setting.ts';
import { sysctlsSchema } from './schema-sysctls.ts';
import {
  apiVersion,
  entryPattern,
  existingRules,
  narrowingRules,
  placements,
  policyDefaults,
  policyKind,
  policyLimits,
} from './vocabulary.ts';
import type { Existing, ExpectationKind, Narrowing, Placement, Remediation, Setting } from './vocabulary.ts';

const entry = z.string().max(253, { abort: true }).regex(entryPattern, {
  error:
    'is not an entry: one sysctl name in lower case, such as net.core.somaxconn, or a prefix that ends in "*", such as net.ipv4.tcp_*',
});

const kubelet = z.strictObject({
  unit: setting(
    z
      .string()
      .max(255, { abort: true })
      .regex(
        /^[A-Za-z0-9:_.\\@-]+\.service$/,
        'is not the name of a systemd service, such as kubelet.service',
      ),
    policyDefaults.unit,
    'The systemd service that runs the kubelet.',
  ),
  allowedUnsafeSysctls: z.array(entry).max(policyLimits.entries).optional().meta({
    description:
      'Entries that the kubelet must allow: names, or prefixes that end in "*". Policies of one node unite.',
    // Not a set: one entry written twice is harmless, and a file and the cluster must agree on what is valid.
    'x-kubernetes-list-type': 'atomic',
  }),
  existing: setting(
    z.enum(existingRules),
    policyDefaults.existing,
    'Keep: entries already in force stay. Remove: the policy is the whole list.',
  ),
  narrowing: setting(
    z.enum(narrowingRules),
    policyDefaults.narrowing,
    'Refuse: never drop an entry that a running pod uses. Allow: drop it, and the kubelet kills the pod.',
  ),
  placement: setting(
    z.enum(placements),
    policyDefaults.placement,
    'Where the allowlist is written on the node.',
  ),
});

const probationRange = 'must be a duration from 1s to 30m, such as 30s, 2m or 1m30s';
const rollout = z.strictObject({
  maxUnavailable: setting(
    z.int().min(1).max(1000),
    policyDefaults.maxUnavailable,
    'Slots: how many nodes are at risk at the same time.',
  ),
  maxFailed: setting(
    z.int().min(0).max(10_000),
    policyDefaults.maxFailed,
    'How many failed nodes the rollout bears; one more stops it, and so do failed nodes in all slots.',
  ),
  probation: setting(
    z
      .string()
      .max(16, { abort: true })
      .regex(durationPattern, { error: probationRange, abort: true })
      .refine((text) => isProbation(parseDuration(text)), probationRange)
      .meta({
        'x-kubernetes-validations': [
          {
            rule: "duration(self) >= duration('1s') && duration(self) <= duration('30m')",
            message: probationRange,
          },
        ],
      }),
    policyDefaults.probation,
    'How long the restarted kubelet must prove itself without a break.',
  ),
});

// What the API server adds to an object that was stored and printed again; never ours to judge.
const stored = z.unknown().optional();
const metadata = z.strictObject({
  // 63: the name becomes the name part of a node label, sysctl-agent.dev/NAME.
  name: z
    .string()
    .max(63, { abort: true })
    .regex(
      /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
      'is not a name: lower case letters, digits, "-" and ".", 63 at most',
    ),
  labels: stored,
  annotations: stored,
  creationTimestamp: stored,
  deletionGracePeriodSeconds: stored,
  deletionTimestamp: stored,
  finalizers: stored,
  generation: stored,
  managedFields: stored,
  ownerReferences: stored,
  resourceVersion: stored,
  selfLink: stored,
  uid: stored,
});

/** The one schema of the policy document; strict at every level. The CRD and the table in docs/policy.md are generated from it. */
export const policySchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal(policyKind),
  metadata,
  spec: z.strictObject({
    nodeSelector: nodeSelectorSchema.optional().meta({ description: 'Which nodes; absent: every node.' }),
    kubelet: kubelet.optional().meta({ description: 'What the kubelet must allow to pods.' }),
    sysctls: sysctlsSchema.optional().meta({
      description: 'Expected values on the node itself.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    }),
    rollout: rollout.optional().meta({ description: 'How the change travels through the fleet.' }),
  }),
  status: stored,
});

/** A document as it is written: checked, nothing filled in. */
export type WrittenPolicy = z.infer<typeof policySchema>;

export type NodeSelector = NonNullable<WrittenPolicy['spec']['nodeSelector']>;

export interface Expectation {
  readonly kind: ExpectationKind;
  readonly value: string;
}

export interface PolicySysctl {
  /** As the document spells it. */
  readonly name: string;
  readonly expectation: Expectation;
  readonly remediation: Remediation;
  /** False when the remediation is only the default. */
  readonly remediationStated: boolean;
}

/** A checked policy with its defaults filled in; durations in milliseconds. Plain JSON. */
export interface PolicyDocument {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly nodeSelector?: NodeSelector;
    readonly kubelet: {
      readonly unit: string;
      readonly allowedUnsafeSysctls: readonly string[];
      readonly existing: Existing;
      readonly narrowing: Narrowing;
      readonly placement: Placement;
    };
    readonly sysctls: readonly PolicySysctl[];
    readonly rollout: {
      readonly maxUnavailable: number;
      readonly maxFailed: number;
      readonly probationMs: number;
    };
  };
  /** The settings that the document states itself; the others hold defaults and give way to another policy's. */
  readonly stated: readonly Setting[];
  /** Flags of the command line overrule the settings of documents. */
  readonly origin: 'document' | 'flags';
  /** Where `metadata.name` stands. */
  readonly where?: Place;
}

function isProbation(ms: number | undefined): boolean {
  return ms !== undefined && ms >= 1000 && ms <= 1_800_000;
}
