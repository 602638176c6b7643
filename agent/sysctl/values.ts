import { unreachable } from '../errors.ts';
import { tighter, within } from './bounds.ts';

/** What a sysctl should be. A bound is one whole number or several, as text: some exceed 2^53. */
export interface Expectation {
  readonly kind: 'value' | 'atLeast' | 'atMost';
  readonly value: string;
}

/** How a reading compares with what it should be; `incomparable`: a bound, and not as many whole numbers as it has. */
export type Comparison = 'met' | 'drifted' | 'incomparable';

/**
 * Compares a reading, as it comes from /proc/sys, with what it should be. Blanks and tabs between fields compare as
 * one blank and those around do not count. A bound holds when it holds for each field: `4096 87380 6291456` for a
 * tcp_rmem that must be nowhere smaller.
 */
export function judge(reading: string, expectation: Expectation): Comparison {
  const { kind, value } = expectation;
  switch (kind) {
    case 'value':
      return sameValue(reading, value) ? 'met' : 'drifted';
    case 'atLeast':
    case 'atMost': {
      const holds = within(kind, value, reading.trim());
      return holds === undefined ? 'incomparable' : holds ? 'met' : 'drifted';
    }
    default:
      return unreachable(kind);
  }
}

/** Whether two values are the same to the kernel: fields in order, whatever separates them. */
export function sameValue(left: string, right: string): boolean {
  return canonicalValue(left) === canonicalValue(right);
}

/** A value with one blank between fields and none around; lines stay lines. */
export function canonicalValue(value: string): string {
  return value
    .split('\n')
    .map((line) => line.replace(/[ \t\r]+/g, ' ').trim())
    .join('\n')
    .trim();
}

/** The fields of a value, for metrics that show one number each. */
export function valueFields(value: string): readonly string[] {
  return value.split(/\s+/).filter((field) => field !== '');
}

/**
 * The text to write so that the expectation is met. For a bound the smallest change that does: fields that keep it
 * stay as they were read.
 */
export function valueToWrite(expectation: Expectation, reading: string): string {
  const { kind, value } = expectation;
  return kind === 'value' ? value.trim() : (tighter(kind, value, reading.trim()) ?? value.trim());
}
