import { unreachable } from '../errors.ts';
import { backoffMs } from './loop-delays.ts';
import { recent } from './loop-heals.ts';
import { type LoopEvent, type LoopPosition, type LoopSettings, startPosition } from './loop-position.ts';

/** What an event changes about the loop's position. `roll` is a random number from 0 to 1, for the jitter. */
export function take(
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
  // To wait for pods is no setback: the next look must not come later for having waited long.
  const setbacks = refused && !event.waitsForPods ? position.setbacks + 1 : 0;
  const nextLookMs = !refused
    ? settings.wholeLookMs
    : event.waitsForPods
      ? settings.podsLookMs
      : backoffMs(setbacks, roll);
  const right = (['kubelet', 'sysctls'] as const).filter((subject) => !event.subjects.includes(subject));
  return {
    ...position,
    noticedAtMs: undefined,
    nodeDueAtMs: nowMs + nextLookMs,
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
        failures: 0,
        heals,
        nodeDueAtMs: nowMs,
        // The first heal is at once; whoever undoes it makes the next ones slower.
        applyNotBeforeMs: most < 1 ? nowMs : nowMs + backoffMs(most, roll),
        settled: [...new Set([...position.settled, ...event.subjects])],
      };
    }
    case 'nothing':
      return { ...position, slot: 'none', wish: 'nothing', nodeDueAtMs: nowMs };
    case 'rolledBack': {
      const failures = position.failures + 1;
      const applyNotBeforeMs = nowMs + backoffMs(failures, roll);
      return { ...position, slot: 'none', wish: 'nothing', failures, nodeDueAtMs: nowMs, applyNotBeforeMs };
    }
    case 'refused':
    case 'broken':
      return setBack({ ...position, slot: 'none' }, nowMs, settings, roll);
    default:
      return unreachable(event);
  }
}
