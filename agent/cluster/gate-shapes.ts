/** As engine/gate.ts has it; kept here too, for imports point down. */
export interface GateRequest {
  readonly unit: string;
  readonly planHash: string;
  readonly maxUnavailable: number;
  readonly maxFailed: number;
  readonly policies: readonly string[];
}

export type GateGrant =
  | { readonly kind: 'granted'; readonly slot: string | undefined }
  | { readonly kind: 'halted'; readonly by: string; readonly reason: string };

/** What this node's slots look like at a moment, for its status. */
export type SlotView =
  | { readonly kind: 'none' }
  /** Without the holders: they change all the time, and every waiting node would tell the cluster so. */
  | { readonly kind: 'waiting'; readonly policy: string }
  | { readonly kind: 'halted'; readonly policy: string; readonly by: readonly string[] }
  | { readonly kind: 'held'; readonly slots: readonly string[] };
