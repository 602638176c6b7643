import type { Problem } from '../errors.ts';
import type { KubeletFacts } from './facts.ts';
import type { LoadedCommand, ObservedFile } from './observed.ts';
import type { PlacementKind } from './plan.ts';

export interface ProposedFile {
  readonly path: string;
  /** Null: there is none yet. */
  readonly before: ObservedFile | null;
  /** Null: it goes away. */
  readonly after: string | null;
}

/** One way to bring an allowlist to the kubelet on this node: what it would write, and what systemd must then show. */
export type Proposal =
  | {
      readonly ok: true;
      readonly kind: PlacementKind;
      readonly path: string;
      readonly files: readonly ProposedFile[];
      readonly reload: boolean;
      readonly commandAfter: LoadedCommand;
      /** What `commandAfter` is made from where that is not what systemd holds now: the command below our drop-in. */
      readonly commandBelow?: LoadedCommand;
      /** Drop-ins that systemd must read afterwards. */
      readonly dropIns: readonly string[];
    }
  | { readonly ok: false; readonly problem: Problem };

/** What a placement is asked for. `exact`: entries that are not in `entries` must go as well. */
export interface Wanted {
  readonly entries: readonly string[];
  readonly exact: boolean;
  /** What the configuration files alone would allow: in force where no flag stands. */
  readonly withoutFlag: readonly string[];
}

export function impossible(message: string, next: string): Extract<Proposal, { ok: false }> {
  return { ok: false, problem: { code: 'PLACEMENT_IMPOSSIBLE', message, next } };
}

export type PossibleProposal = Extract<Proposal, { ok: true }>;

/** A possible proposal with what the next start would read, where that is what was wanted; otherwise why not. */
export type Proven =
  (PossibleProposal & { readonly after: KubeletFacts }) | Extract<Proposal, { readonly ok: false }>;

export type ProvenProposal = Extract<Proven, { ok: true }>;
