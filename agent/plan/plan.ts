import type { Problem } from '../errors.ts';
import type { LoadedCommand } from './observed.ts';

/** A file as it was before: enough to put it back and to notice that somebody else changed it. */
export interface FileBefore {
  readonly sha256: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly text: string;
}

/** One file to write. `before: null` creates it; `after: null` removes it. */
export interface FileChange {
  readonly path: string;
  readonly before: FileBefore | null;
  readonly after: string | null;
}

export interface EntryChange {
  readonly inForce: readonly string[];
  readonly after: readonly string[];
  readonly added: readonly string[];
  readonly kept: readonly string[];
  readonly removed: readonly string[];
}

export interface SysctlWrite {
  readonly name: string;
  readonly before: string;
  readonly value: string;
}

export interface SysctlFinding {
  readonly name: string;
  readonly expected: string;
  readonly found: string | undefined;
  readonly state: 'met' | 'drifted' | 'unknown';
  readonly remediation: 'Report' | 'Write';
  readonly reason?: string;
}

/** `DistributionConfig`: the file from which k3s, rke2 or microk8s hands arguments on to its kubelet. */
export type PlacementKind = 'Unit' | 'DropIn' | 'EnvironmentFile' | 'KubeletConfig' | 'DistributionConfig';

/** One placement on this very node, so that a person can choose another than the one that was chosen. */
export interface PlacementOption {
  readonly kind: PlacementKind;
  readonly possible: boolean;
  readonly chosen: boolean;
  /** What it would write; undefined where it is impossible. */
  readonly path: string | undefined;
  /** Why it is impossible. */
  readonly why: string | undefined;
  readonly reload: boolean;
  readonly restart: boolean;
  /** What becomes of it when the package is upgraded, the node reboots or its owner writes again. */
  readonly survives: string;
  /** What it hides: the kubelet takes the list of a flag in place of the list of a file. */
  readonly hides: string | undefined;
}

export interface PlacementChoice {
  readonly kind: PlacementKind;
  readonly path: string;
  readonly why: string;
}

/** What systemd and the process must show once the plan is carried out. */
export interface Expectation {
  readonly commandBefore: LoadedCommand;
  readonly commandAfter: LoadedCommand;
  readonly dropInPathsAfter: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  /**
   * The entries that the process must hold in its command line (Unit, DropIn, EnvironmentFile); none where the list
   * reaches the kubelet without a flag of this process (KubeletConfig, DistributionConfig).
   */
  readonly entries: readonly string[];
}

/** Everything that would change on this node, and why: plain JSON, printable, storable, comparable. */
export interface Plan {
  readonly schema: 1;
  readonly unit: string;
  readonly policies: readonly string[];
  readonly entries: EntryChange;
  /** Undefined when only node sysctls change. */
  readonly placement: PlacementChoice | undefined;
  readonly files: readonly FileChange[];
  readonly reload: boolean;
  readonly restart: boolean;
  readonly expectation: Expectation | undefined;
  readonly sysctlWrites: readonly SysctlWrite[];
  readonly podsAtRisk: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly sysctls: readonly string[];
  }[];
  readonly probationMs: number;
  /** Whether /healthz must answer during probation: it did before. */
  readonly healthzRequired: boolean;
}

export type PlanOutcome =
  | { readonly kind: 'converged'; readonly entries: EntryChange | undefined; readonly notes: Notes }
  | { readonly kind: 'change'; readonly plan: Plan; readonly notes: Notes }
  | {
      readonly kind: 'refused';
      readonly problems: readonly Problem[];
      readonly entries: EntryChange | undefined;
      readonly notes: Notes;
    };

/** What a reader of the plan should know although it changes nothing. */
export interface Notes {
  readonly warnings: readonly Problem[];
  readonly hints: readonly string[];
  readonly sysctls: readonly SysctlFinding[];
  /** The placements of this node side by side; absent or empty where the allowlist stays as it is. */
  readonly comparison?: readonly PlacementOption[];
}
