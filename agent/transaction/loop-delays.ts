/** The delay before the n-th repetition (from 1) of something that did not work: doubles from 15 s to 10 min, ± 20 %. */
export function backoffMs(repetition: number, roll: number): number {
  const plain = Math.min(15_000 * 2 ** (Math.max(repetition, 1) - 1), 10 * 60_000);
  return Math.round(plain * (0.8 + 0.4 * roll));
}
