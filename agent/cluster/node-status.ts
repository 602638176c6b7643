import { isCovered } from '../kubelet/allowlist.ts';
import type { NodeDrift, SysctlDrift } from '../plan/drift.ts';
import type { ForbiddenCount } from './forbidden-pods.ts';
import { field, list, text } from './objects.ts';
import type { SlotView } from './slot-gate.ts';
import { type NodeStatus, type StatusCondition, type StatusDrift, statusLimits } from './status-schema.ts';

/** What a node's agent found, as engine/reporter.ts has it. Times in milliseconds since the epoch. */
export interface NodeFacts {
  readonly observedAtMs: number;
  readonly state: string;
  readonly policies: readonly string[];
  readonly policyHash: string | undefined;
  readonly kubeletVersion: string | undefined;
  readonly conditions: readonly {
    readonly type: string;
    readonly status: 'True' | 'False' | 'Unknown';
    readonly reason: string;
    readonly message: string;
  }[];
  readonly drift: NodeDrift;
  readonly driftSince: Readonly<Record<string, number>>;
  readonly lastTransaction:
    | {
        readonly id: string;
        readonly startedAtMs: number;
        readonly endedAtMs: number;
        readonly verdict: 'committed' | 'rolledBack' | 'broken' | 'running';
        readonly by: string | undefined;
        readonly code: string | undefined;
        readonly message: string;
      }
    | undefined;
  /** The change that failed and is not tried again by itself. */
  readonly latch:
    | {
        readonly transaction: string;
        readonly sinceMs: number;
        readonly code: string;
        readonly message: string;
      }
    | undefined;
}

/** What the cluster adds to it. */
export interface StatusContext {
  readonly agentVersion: string;
  readonly slot: SlotView;
  readonly forbidden: readonly ForbiddenCount[];
  readonly generations: Readonly<Record<string, number>>;
  /** The conditions of the status before: what did not change keeps its time. */
  readonly before: readonly StatusCondition[];
}

/** The status of a node as the cluster shows it. Pure; lists are cut to their limits, the count of drift is not. */
export function nodeStatusOf(facts: NodeFacts, context: StatusContext): NodeStatus {
  const drift = driftOf(facts);
  const { lastTransaction, latch } = facts;
  const { slot } = context;
  return {
    state: facts.state,
    message: cut(headline(facts, context)),
    policy: facts.policies.join(',').slice(0, 1024),
    policyHash: facts.policyHash ?? '',
    policies: facts.policies.slice(0, statusLimits.entries).map((name) => {
      const observedGeneration = context.generations[name];
      return { name, ...(observedGeneration === undefined ? {} : { observedGeneration }) };
    }),
    observedAt: stamp(facts.observedAtMs),
    agentVersion: context.agentVersion.slice(0, 63),
    kubeletVersion: (facts.kubeletVersion ?? '').slice(0, 63),
    layers: facts.drift.layers.map((layer) => ({
      layer: layer.layer,
      entries: layer.kind === 'known' ? layer.entries.slice(0, statusLimits.entries) : [],
      unknown: layer.kind === 'known' ? '' : cut(layer.reason),
    })),
    driftCount: drift.length,
    drift: drift.slice(0, statusLimits.drift),
    slot: {
      state: slotStates[slot.kind],
      policy: 'policy' in slot ? slot.policy : '',
      leases: slot.kind === 'held' ? slot.slots.slice(0, 64) : [],
      haltedBy: slot.kind === 'halted' ? slot.by.slice(0, 64) : [],
    },
    ...(lastTransaction === undefined
      ? {}
      : {
          lastTransaction: {
            id: lastTransaction.id,
            startedAt: stamp(lastTransaction.startedAtMs),
            endedAt: stamp(lastTransaction.endedAtMs),
            verdict: lastTransaction.verdict,
            by: lastTransaction.by ?? '',
            code: lastTransaction.code ?? '',
            message: cut(lastTransaction.message),
          },
        }),
    ...(latch === undefined
      ? {}
      : {
          latched: {
            transaction: latch.transaction,
            since: stamp(latch.sinceMs),
            code: latch.code,
            message: cut(latch.message),
          },
        }),
    forbiddenPods: context.forbidden.slice(0, statusLimits.forbiddenPods),
    conditions: conditionsOf(facts, context),
  };
}

/** The conditions of a stored status. Never throws. */
export function conditionsOfObject(object: unknown): readonly StatusCondition[] {
  return list(field(field(object, 'status'), 'conditions')).flatMap((each) => {
    const [type, status] = [text(each, 'type'), text(each, 'status')];
    if (type === undefined || (status !== 'True' && status !== 'False' && status !== 'Unknown')) return [];
    return [
      {
        type,
        status,
        lastTransitionTime: text(each, 'lastTransitionTime') ?? '',
        reason: text(each, 'reason') ?? '',
        message: text(each, 'message') ?? '',
      },
    ];
  });
}

const slotStates = { none: 'None', waiting: 'Waiting', held: 'Held', halted: 'Halted' } as const;

function driftOf({ drift, driftSince }: NodeFacts): readonly StatusDrift[] {
  const since = (name: string): string => {
    const ms = driftSince[name];
    return ms === undefined ? '' : stamp(ms);
  };
  const entries = drift.layers.flatMap(({ layer, missing, extra }) => {
    const common = { kind: 'entry', layer, since: since(`allowlist/${layer}`), source: '' } as const;
    return [
      ...missing.map((name) => ({ ...common, name, expected: 'allowed', found: 'not allowed' })),
      ...extra.map((name) => ({ ...common, name, expected: 'not allowed', found: 'allowed' })),
    ];
  });
  const reload =
    drift.needsReload === true
      ? [
          {
            kind: 'reload' as const,
            name: 'kubelet',
            layer: '',
            expected: 'the files that systemd has loaded',
            found: 'edited files',
            since: since('reload/kubelet'),
            source: '',
          },
        ]
      : [];
  const sysctls = drift.sysctls
    .filter(({ state }) => state === 'drifted')
    .map((sysctl) => ({
      kind: 'sysctl' as const,
      name: sysctl.name,
      layer: '',
      expected: cut(sysctl.expected),
      found: cut(sysctl.found ?? ''),
      since: since(`sysctl/${sysctl.name}`),
      source: sourceOf(sysctl),
    }));
  return [...entries, ...reload, ...sysctls];
}

function sourceOf({ source }: SysctlDrift): string {
  return source === undefined ? '' : cut(`${source.path}:${source.line}`);
}

function conditionsOf(facts: NodeFacts, { slot, before }: StatusContext): readonly StatusCondition[] {
  const halted = slot.kind === 'halted';
  const all = [
    // "Converged" is the agent's word for itself; whoever waits with kubectl wait asks whether the node is in sync.
    ...facts.conditions.map((each) => (each.type === 'Converged' ? { ...each, type: 'InSync' } : each)),
    {
      type: 'RolloutHalted',
      status: halted ? ('True' as const) : ('False' as const),
      reason: halted ? 'NodeFailed' : 'NotHalted',
      message: halted ? `waits for ${slot.by.join(', ')}` : '',
    },
  ];
  return all.map(({ type, status, reason, message }) => {
    const old = before.find((each) => each.type === type);
    const keeps = old?.status === status && old.lastTransitionTime !== '';
    return {
      type,
      status,
      lastTransitionTime: keeps ? old.lastTransitionTime : stamp(facts.observedAtMs),
      reason,
      message: cut(message),
    };
  });
}

function headline(facts: NodeFacts, { slot, forbidden }: StatusContext): string {
  if (slot.kind === 'halted')
    return `The rollout of policy ${slot.policy} is halted by ${slot.by.join(', ')}.`;
  // Node sysctls may have been put right since: then the last transaction is not the one that failed.
  const failed = facts.latch ?? (facts.state === 'broken' ? facts.lastTransaction : undefined);
  if (failed?.code !== undefined) return `${failed.code}: ${failed.message}`;
  const converged = facts.conditions.find(({ type }) => type === 'Converged');
  if (converged?.status !== 'True' && converged !== undefined && converged.message !== '')
    return `${converged.reason}: ${converged.message}`;
  const process = facts.drift.layers.find(({ layer }) => layer === 'process');
  const allowed = process?.kind === 'known' ? process.entries : [];
  // What was rejected before the entry came is only a leftover.
  const [worst] = forbidden
    .filter(({ sysctl }) => !isCovered(allowed, sysctl))
    .sort((a, b) => b.pods - a.pods);
  if (worst === undefined) return '';
  const pods = worst.pods === 1 ? '1 pod' : `${worst.pods} pods`;
  const were = worst.pods === 1 ? 'was' : 'were';
  return `${pods} in ${worst.namespace} ${were} rejected: no entry allows ${worst.sysctl}.`;
}

function cut(message: string): string {
  return message.length <= statusLimits.message ? message : `${message.slice(0, statusLimits.message - 1)}…`;
}

function stamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
