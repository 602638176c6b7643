import type { ErrorCode } from '../errors.ts';
import type { Latch } from '../host/latch.ts';
import type { NodeDrift } from '../plan/drift.ts';
import type { LoopState } from '../transaction/loop-position.ts';

/** What a node tells the cluster about itself. Plain JSON; times in milliseconds since the epoch. */
export interface NodeStatusFacts {
  readonly observedAtMs: number;
  /** The loop's state, as in sysctl_agent_state. */
  readonly state: LoopState;
  readonly policies: readonly string[];
  /** Hash of what the policies want together; changes with any of them. */
  readonly policyHash: string | undefined;
  readonly kubeletVersion: string | undefined;
  readonly conditions: readonly StatusCondition[];
  readonly drift: NodeDrift;
  /** Since when each drift lasts, by `kind/name`. */
  readonly driftSince: Readonly<Record<string, number>>;
  readonly lastTransaction: LastTransaction | undefined;
  /** The change that failed and is not tried again by itself. */
  readonly latch: Latch | undefined;
}

export interface StatusCondition {
  readonly type: 'Observed' | 'Converged' | 'PolicyValid' | 'KubeletHealthy';
  readonly status: 'True' | 'False' | 'Unknown';
  /** CamelCase, closed: an error code in capitals or a loop state. */
  readonly reason: string;
  readonly message: string;
}

export interface LastTransaction {
  readonly id: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly verdict: 'committed' | 'rolledBack' | 'broken' | 'running';
  readonly by: 'agent' | 'watchdog' | 'person' | undefined;
  readonly code: ErrorCode | undefined;
  readonly message: string;
}

/** Where the loop's findings go besides the metrics. */
export interface ClusterReporter {
  /** Called when something changed, and once an hour; @throws nothing that the loop could mend: it logs and goes on. */
  report(status: NodeStatusFacts): Promise<void>;
}

/** Without a cluster nobody is told. */
export const noReporter: ClusterReporter = { report: async () => Promise.resolve() };

/** A pod of this node that states sysctls in its spec. Names in the pod's spelling. */
export interface SpecifiedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly sysctls: Readonly<Record<string, string>>;
}

/** A pod that this node's kubelet rejected with SysctlForbidden; `sysctls` are the names that were not allowed. */
export interface ForbiddenPod {
  readonly namespace: string;
  readonly name: string;
  readonly sysctls: readonly string[];
}

export type PodsOfNode =
  | {
      readonly kind: 'known';
      readonly running: readonly SpecifiedPod[];
      readonly forbidden: readonly ForbiddenPod[];
    }
  | { readonly kind: 'unknown'; readonly reason: string };

/** What the API server knows of this node's pods; costs no request while nothing changes. */
export interface PodSource {
  pods(): PodsOfNode;
  /** Calls back when the answer of `pods` may have changed. */
  onChange(changed: () => void): void;
}

/** Without a cluster: no pods are known. */
export const noPods: PodSource = {
  pods: () => ({ kind: 'unknown', reason: 'the agent does not talk to an API server' }),
  onChange: () => undefined,
};
