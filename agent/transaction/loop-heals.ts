import type { LoopPosition, LoopSettings, Subject } from './loop-position.ts';

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

/** Subjects of the present drift that may be healed. */
export function healable(position: LoopPosition, nowMs: number, settings: LoopSettings): readonly Subject[] {
  const fought = foughtOver(position, nowMs, settings);
  return position.subjects.filter((subject) => !fought.includes(subject));
}

/** Heals that still count. */
export function recent(heals: readonly number[], nowMs: number, settings: LoopSettings): readonly number[] {
  return heals.filter((at) => nowMs - at < settings.healWindowMs);
}
