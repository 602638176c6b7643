import type { ErrorCode, Problem } from '../errors.ts';
import type { DriftFile } from '../host/drift-file.ts';
import type { FileWatch } from '../host/file-watch.ts';
import type { PodQuestion, PodReadings } from '../host/pod-namespaces.ts';
import type { UnitWatch } from '../host/unit-watch.ts';
import type { LayerView, NodeDrift } from '../plan/drift.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { LoopState } from '../transaction/loop-position.ts';
import type { RolloutGate } from './gate.ts';
import type { ObservationPorts } from './observe.ts';
import type { HostPorts } from './ports.ts';
import type { ClusterReporter, LastTransaction, PodSource } from './reporter.ts';

/** Everything that the loop of `run` touches. */
export interface LoopPorts {
  readonly host: HostPorts;
  readonly observation: ObservationPorts;
  readonly policies: PolicySource;
  readonly gate: RolloutGate;
  readonly reporter: ClusterReporter;
  readonly pods: PodSource;
  readonly retry: RetrySource;
  /** What the container runtime alone knows; what guards running pods is in `observation`. */
  readonly runtimePods: ObservationPorts['runningPods'];
  readonly podSysctls: (pods: readonly PodQuestion[]) => Promise<ReadonlyMap<string, PodReadings>>;
  readonly configz: () => Promise<LayerView>;
  readonly watchFiles: (noticed: () => void) => FileWatch;
  readonly watchUnit: (unit: string, noticed: () => void) => Promise<UnitWatch>;
  readonly kept: DriftFile;
  readonly publish: LoopPublisher;
  readonly log: LoopLog;
  /** Who asks, for the audit log. */
  readonly requestedBy: string;
  /** Called when much was done and nothing is to be done for a while. */
  readonly tidy: () => void;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** What the node is to be like; from files, or from the cluster. */
export interface PolicySource {
  /** All policies of this node as one. Never throws: what cannot be read is a problem. */
  load(): Promise<
    | { readonly ok: true; readonly policy: NodePolicy }
    | { readonly ok: false; readonly problems: readonly Problem[] }
  >;
  /** Files and directories whose changes change the answer; paths as this process sees them. */
  readonly files: readonly string[];
  /** Calls back when the answer may have changed for another reason. */
  onChange(changed: () => void): void;
}

/** A person's wish that a change which failed is tried once more. */
export interface RetrySource {
  /** The id of the failed transaction; a change that fails again is another one. Undefined: no wish. */
  transaction(): string | undefined;
  onChange(changed: () => void): void;
}

/** Without a cluster the wish comes by `apply --force PLAN_LATCHED`. */
export const noRetry: RetrySource = { transaction: () => undefined, onChange: () => undefined };

/** Where the loop's findings become metrics. Times in milliseconds since the epoch. */
export interface LoopPublisher {
  /** A policy came into force: its sysctls are read at every scrape from now on. */
  policy(policy: NodePolicy): void;
  policyValid(valid: boolean): void;
  state(state: LoopState): void;
  seen(atMs: number): void;
  drift(drift: NodeDrift, since: Readonly<Record<string, number>>, via: 'direct' | 'nsenter' | 'none'): void;
  /** Codes of what stands in the way at present. */
  refusals(codes: readonly ErrorCode[]): void;
  lookFailed(code: ErrorCode): void;
  applied(result: 'committed' | 'refused' | 'rolledBack' | 'broken', tookMs: number): void;
  rolledBack(code: ErrorCode, by: 'agent' | 'watchdog' | 'person'): void;
  kubeletRestarted(reason: 'apply' | 'rollback' | 'other'): void;
  lastTransaction(last: LastTransaction | undefined): void;
  /** A transaction is under way since then; undefined: none is. */
  atRisk(sinceMs: number | undefined): void;
  slot(held: boolean, waitMs: number): void;
  watches(files: boolean, systemd: boolean): void;
  pods(facts: PodFacts): void;
}

/** What is known of this node's pods; undefined where it is not. */
export interface PodFacts {
  readonly forbidden:
    readonly { readonly namespace: string; readonly sysctl: string; readonly pods: number }[] | undefined;
  readonly drift: readonly {
    readonly namespace: string;
    readonly pod: string;
    readonly sysctl: string;
    readonly drifted: boolean;
  }[];
}

/** The log of the loop: one line a decision, fields from closed sets and the policy, never a secret. */
export type LoopLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields: Readonly<Record<string, unknown>>,
  message: string,
) => void;
