import { unreachable } from '../errors.ts';

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
  healLimit: 3,
  healWindowMs: 6 * 60 * 60_000,
};

export interface LoopStep {
  readonly position: LoopPosition;
  readonly action: LoopAction;
  /** For `wait`: the latest moment at which to come back. */
  readonly untilMs: number;
}

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
    applyNotBeforeMs: nowMs,
    heals: kept?.heals ?? { kubelet: [], sysctls: [] },
    settled: kept?.settled ?? [],
  };
}

/** One step: takes the event in and says what to do now. `roll` is a random number from 0 to 1, for the jitter. */
export function nextAction(
  position: LoopPosition,
  event: LoopEvent,
  nowMs: number,
  settings: LoopSettings,
  roll: number,
): LoopStep {
  const taken = take(position, event, nowMs, settings, roll);
  const due = (at: number | undefined): boolean => at !== undefined && at <= nowMs;
  const step = (action: LoopAction): LoopStep => ({ position: taken, action, untilMs: nowMs });
  if (due(taken.policyDueAtMs)) return step('loadPolicy');
  if (due(taken.nodeDueAtMs)) return step('lookAtNode');
  const mayApply = taken.wish === 'change' && !settings.dryRun && healable(taken, nowMs, settings).length > 0;
  if (taken.slot !== 'none' && !(mayApply && taken.needsSlot)) {
    return { position: { ...taken, slot: 'none' }, action: 'giveUpSlot', untilMs: nowMs };
  }
  if (mayApply && taken.applyNotBeforeMs <= nowMs) {
    if (!taken.needsSlot || taken.slot === 'held') return step('apply');
    if (taken.slot === 'none')
      return { position: { ...taken, slot: 'asked' }, action: 'askForSlot', untilMs: nowMs };
  }
  if (due(taken.cycleDueAtMs)) return step('lookAtSysctls');
  const moments = [
    taken.policyDueAtMs,
    taken.nodeDueAtMs,
    taken.cycleDueAtMs,
    // A moment that has passed is waited for no more: what is due then waits for a slot.
    mayApply && taken.applyNotBeforeMs > nowMs ? taken.applyNotBeforeMs : undefined,
  ];
  return {
    position: taken,
    action: 'wait',
    untilMs: Math.min(...moments.filter((moment) => moment !== undefined)),
  };
}

/** Subjects that something else keeps undoing: they are left alone until their heals are old enough. */
export function foughtOver(
  position: LoopPosition,
  nowMs: number,
  settings: LoopSettings,
): readonly Subject[] {
  return (['kubelet', 'sysctls'] as const).filter(
    (subject) => recent(position.heals[subject], nowMs, settings).length >= settings.healLimit,
  );
}

/** The delay before the n-th repetition (from 1) of something that did not work: doubles from 15 s to 10 min, ± 20 %. */
export function backoffMs(repetition: number, roll: number): number {
  const plain = Math.min(15_000 * 2 ** (Math.max(repetition, 1) - 1), 10 * 60_000);
  return Math.round(plain * (0.8 + 0.4 * roll));
}

function take(
  position: LoopPosition,
  event: LoopEvent,
  nowMs: number,
  settings: LoopSettings,
  roll: number,
): LoopPosition {
  switch (event.kind) {
    case 'started':
    case 'timePassed':
      return position;
    case 'noticed':
      return { ...position, ...gather(position, nowMs, settings, 'nodeDueAtMs') };
    case 'policyNoticed':
      return { ...position, ...gather(position, nowMs, settings, 'policyDueAtMs') };
    case 'policyLoaded': {
      const loaded = { ...position, policyDueAtMs: undefined, noticedAtMs: undefined };
      if (!event.changed) return loaded;
      return {
        ...startPosition(nowMs),
        slot: position.slot,
        cycleDueAtMs: position.cycleDueAtMs,
        policyDueAtMs: undefined,
      };
    }
    case 'sysctlsSeen': {
      const seen = { ...position, cycleDueAtMs: nowMs + settings.cycleMs };
      return event.changed ? { ...seen, nodeDueAtMs: nowMs } : seen;
    }
    case 'nodeSeen':
      return nodeSeen(position, event, nowMs, settings, roll);
    case 'slotGranted':
      // Waiting may have been long: the node is looked at again before anything is done.
      return { ...position, slot: 'held', nodeDueAtMs: nowMs };
    case 'slotRefused':
      return setBack({ ...position, slot: 'none' }, nowMs, settings, roll);
    case 'lookFailed':
      return setBack(position, nowMs, settings, roll);
    case 'applied':
      return applied(position, event, nowMs, settings, roll);
    default:
      return unreachable(event);
  }
}

/** Waits for quiet, but not for ever: the first notice of a storm is acted on within `longestDebounceMs`. */
function gather(
  position: LoopPosition,
  nowMs: number,
  settings: LoopSettings,
  what: 'nodeDueAtMs' | 'policyDueAtMs',
): Partial<LoopPosition> {
  const noticedAtMs = position.noticedAtMs ?? nowMs;
  const dueAtMs = Math.min(nowMs + settings.debounceMs, noticedAtMs + settings.longestDebounceMs);
  const known = position[what];
  // A look that was due because time went by comes earlier; one that already waits for quiet waits on.
  const keeps = known !== undefined && known <= nowMs;
  return { noticedAtMs, [what]: keeps ? known : dueAtMs };
}

function nodeSeen(
  position: LoopPosition,
  event: Extract<LoopEvent, { kind: 'nodeSeen' }>,
  nowMs: number,
  settings: LoopSettings,
  roll: number,
): LoopPosition {
  const refused = event.wish === 'refused';
  const setbacks = refused ? position.setbacks + 1 : 0;
  const right = (['kubelet', 'sysctls'] as const).filter((subject) => !event.subjects.includes(subject));
  return {
    ...position,
    noticedAtMs: undefined,
    nodeDueAtMs: nowMs + (refused ? backoffMs(setbacks, roll) : settings.wholeLookMs),
    cycleDueAtMs: nowMs + settings.cycleMs,
    wish: event.wish,
    subjects: event.subjects,
    needsSlot: event.needsSlot,
    setbacks,
    settled: [...new Set([...position.settled, ...(refused ? [] : right)])],
  };
}

function setBack(position: LoopPosition, nowMs: number, settings: LoopSettings, roll: number): LoopPosition {
  const setbacks = position.setbacks + 1;
  return {
    ...position,
    wish: 'nothing',
    noticedAtMs: undefined,
    setbacks,
    // Whatever failed is tried again at the same time, the policy's reading too.
    policyDueAtMs: position.policyDueAtMs === undefined ? undefined : nowMs + backoffMs(setbacks, roll),
    nodeDueAtMs: nowMs + backoffMs(setbacks, roll),
    cycleDueAtMs: nowMs + settings.cycleMs,
  };
}

function applied(
  position: LoopPosition,
  event: Extract<LoopEvent, { kind: 'applied' }>,
  nowMs: number,
  settings: LoopSettings,
  roll: number,
): LoopPosition {
  switch (event.result) {
    case 'committed': {
      const heals = { ...position.heals };
      for (const subject of event.subjects) {
        if (!position.settled.includes(subject)) continue;
        heals[subject] = [...recent(position.heals[subject], nowMs, settings), nowMs];
      }
      const most = Math.max(heals.kubelet.length, heals.sysctls.length);
      return {
        ...position,
        slot: 'none',
        wish: 'nothing',
        setbacks: 0,
        heals,
        nodeDueAtMs: nowMs,
        // The first heal is at once; whoever undoes it makes the next ones slower.
        applyNotBeforeMs: most < 1 ? nowMs : nowMs + backoffMs(most, roll),
        settled: [...new Set([...position.settled, ...event.subjects])],
      };
    }
    case 'nothing':
    case 'rolledBack':
      return { ...position, slot: 'none', wish: 'nothing', nodeDueAtMs: nowMs };
    case 'refused':
    case 'broken':
      return setBack({ ...position, slot: 'none' }, nowMs, settings, roll);
    default:
      return unreachable(event);
  }
}

function healable(position: LoopPosition, nowMs: number, settings: LoopSettings): readonly Subject[] {
  const fought = foughtOver(position, nowMs, settings);
  return position.subjects.filter((subject) => !fought.includes(subject));
}

function recent(heals: readonly number[], nowMs: number, settings: LoopSettings): readonly number[] {
  return heals.filter((at) => nowMs - at < settings.healWindowMs);
}
