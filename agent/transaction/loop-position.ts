/** Where the loop of `run` stands; the closed label of sysctl_agent_state. */
export const loopStates = [
  'starting',
  'converged',
  'drifted',
  'waitingForSlot',
  'applying',
  'refused',
  'latched',
  'fighting',
  'halted',
  'broken',
  'blind',
] as const;

export type LoopState = (typeof loopStates)[number];

/** What a change is about: each is healed, and given up, on its own. */
export type Subject = 'kubelet' | 'sysctls';

/** What a look at the whole node found to be done. `latched`: this very change failed before. */
export type Wish = 'nothing' | 'change' | 'refused' | 'latched';

export type LoopEvent =
  | { readonly kind: 'started' }
  | { readonly kind: 'timePassed' }
  /** Something on the node changed, or may have: a file, the unit, the bus came back, a scrape read another value. */
  | { readonly kind: 'noticed' }
  | { readonly kind: 'policyNoticed' }
  | { readonly kind: 'policyLoaded'; readonly changed: boolean }
  | { readonly kind: 'sysctlsSeen'; readonly changed: boolean }
  | {
      readonly kind: 'nodeSeen';
      readonly wish: Wish;
      readonly subjects: readonly Subject[];
      /** The change puts the kubelet at risk. */
      readonly needsSlot: boolean;
      /** Refused because of pods: they are watched, and their going is told. */
      readonly waitsForPods: boolean;
    }
  | { readonly kind: 'slotGranted' }
  /** The fleet's rollout is halted, or the gate could not be asked. */
  | { readonly kind: 'slotRefused' }
  | { readonly kind: 'lookFailed' }
  | {
      readonly kind: 'applied';
      readonly result: 'committed' | 'nothing';
      readonly subjects: readonly Subject[];
    }
  | { readonly kind: 'applied'; readonly result: 'refused' | 'rolledBack' | 'broken' };

export type LoopAction =
  'loadPolicy' | 'lookAtNode' | 'lookAtSysctls' | 'askForSlot' | 'giveUpSlot' | 'apply' | 'wait';

/** The right to have this node at risk. */
export type SlotState = 'none' | 'asked' | 'held';

/** All that the loop remembers between two actions. Times are monotonic milliseconds. */
export interface LoopPosition {
  readonly policyDueAtMs: number | undefined;
  readonly nodeDueAtMs: number | undefined;
  /** The first of the notices that are being gathered. */
  readonly noticedAtMs: number | undefined;
  readonly cycleDueAtMs: number;
  readonly wish: Wish;
  readonly subjects: readonly Subject[];
  readonly needsSlot: boolean;
  readonly slot: SlotState;
  /** Refusals and failures in a row. */
  readonly setbacks: number;
  /** Changes in a row that were taken back. */
  readonly failures: number;
  readonly applyNotBeforeMs: number;
  /** When each subject was put right again after it had been right under the same policy. */
  readonly heals: Readonly<Record<Subject, readonly number[]>>;
  /** Subjects that were seen to be right under this policy. */
  readonly settled: readonly Subject[];
}

export interface LoopSettings {
  readonly cycleMs: number;
  /** Quiet time after a notice before the node is looked at, and the longest that a storm of them may delay it. */
  readonly debounceMs: number;
  readonly longestDebounceMs: number;
  /** A whole look without any notice: for what neither the kernel nor systemd told. */
  readonly wholeLookMs: number;
  /** The longest until the next whole look while pods stand in the way, for what their watch did not tell. */
  readonly podsLookMs: number;
  /** This many heals of one subject within the window are a fight. */
  readonly healLimit: number;
  readonly healWindowMs: number;
  readonly dryRun: boolean;
}

export const loopDefaults: Omit<LoopSettings, 'dryRun'> = {
  cycleMs: 15_000,
  debounceMs: 250,
  longestDebounceMs: 1_000,
  wholeLookMs: 10 * 60_000,
  podsLookMs: 60_000,
  healLimit: 3,
  healWindowMs: 6 * 60 * 60_000,
};

/** A loop that has not looked yet; `heals` and `settled` are what an earlier agent left behind. */
export function startPosition(nowMs: number, kept?: Pick<LoopPosition, 'heals' | 'settled'>): LoopPosition {
  return {
    policyDueAtMs: nowMs,
    nodeDueAtMs: nowMs,
    noticedAtMs: undefined,
    cycleDueAtMs: nowMs,
    wish: 'nothing',
    subjects: [],
    needsSlot: false,
    slot: 'none',
    setbacks: 0,
    failures: 0,
    applyNotBeforeMs: nowMs,
    heals: kept?.heals ?? { kubelet: [], sysctls: [] },
    settled: kept?.settled ?? [],
  };
}
