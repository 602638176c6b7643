import type { Problem } from '../errors.ts';
import { unreachable } from '../errors.ts';

/** What a sysctl should be. A bound is a decimal integer as text: some exceed 2^53. */
export interface Expectation {
  readonly kind: 'value' | 'atLeast' | 'atMost';
  readonly value: string;
}

/** How a reading compares with what it should be; `incomparable`: a bound for something that is no single integer. */
export type Comparison = 'met' | 'drifted' | 'incomparable';

/**
 * Compares a reading, as it comes from /proc/sys, with what it should be. Blanks and tabs between fields compare as
 * one blank and those around do not count. A bound compares with single integers alone: for a vector such as tcp_rmem
 * it would have to say which field it means.
 */
export function judge(reading: string, expectation: Expectation): Comparison {
  switch (expectation.kind) {
    case 'value':
      return sameValue(reading, expectation.value) ? 'met' : 'drifted';
    case 'atLeast':
      return judgeBound(reading, expectation.value, (value, bound) => value >= bound);
    case 'atMost':
      return judgeBound(reading, expectation.value, (value, bound) => value <= bound);
    default:
      return unreachable(expectation.kind);
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

/** The text to write so that the expectation is met; for a bound the bound itself, the smallest change that does. */
export function valueToWrite(expectation: Expectation): string {
  return expectation.value.trim();
}

/** Why an expectation cannot be met by any reading or cannot be written; undefined where it can. */
export function expectationProblem(name: string, expectation: Expectation): Problem | undefined {
  if (expectation.kind !== 'value') {
    if (parseInteger(expectation.value) !== undefined) return undefined;
    return invalid(
      `${expectation.kind} of ${name} is ${JSON.stringify(expectation.value)}, not a decimal integer`,
      'Write one integer, or use value for a text or several fields.',
    );
  }
  // Control characters would be written to the kernel as they are, and a line break would start a second line in
  // sysctl.d. The kernel takes at most a page.
  if (/[^\P{Cc}\t]/u.test(expectation.value)) {
    return invalid(`the value of ${name} holds a control character`, 'Write it on one line.');
  }
  return expectation.value.length < 4096
    ? undefined
    : invalid(
        `the value of ${name} has ${expectation.value.length} characters`,
        'The kernel takes at most 4095.',
      );
}

function judgeBound(
  reading: string,
  bound: string,
  holds: (value: bigint, bound: bigint) => boolean,
): Comparison {
  const value = parseInteger(reading);
  const limit = parseInteger(bound);
  if (value === undefined || limit === undefined) return 'incomparable';
  return holds(value, limit) ? 'met' : 'drifted';
}

function parseInteger(text: string): bigint | undefined {
  const trimmed = text.trim();
  // Longer than any 64-bit number would only cost time.
  return /^-?\d{1,40}$/.test(trimmed) ? BigInt(trimmed) : undefined;
}

function invalid(message: string, next: string): Problem {
  return { code: 'SYSCTL_VALUE_INVALID', message, next };
}
