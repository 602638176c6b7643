export type { Grant as GateGrant, SlotRequest as GateRequest } from '../engine/gate.ts';

/** What this node's slots look like at a moment, for its status. */
export type SlotView =
  | { readonly kind: 'none' }
  /** Without the holders: they change all the time, and every waiting node would tell the cluster so. */
  | { readonly kind: 'waiting'; readonly policy: string }
  | { readonly kind: 'halted'; readonly policy: string; readonly by: readonly string[] }
  | { readonly kind: 'held'; readonly slots: readonly string[] };
