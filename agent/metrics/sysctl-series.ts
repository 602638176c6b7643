import type { Expectation } from '../sysctl/values.ts';
import { judge, valueFields } from '../sysctl/values.ts';
import { catalogue } from './catalogue.ts';
import { familyHead, sample, sampleValue } from './exposition.ts';

/** A sysctl's value, or why there is none; the same shape as host/sysctls gives. */
export type SeriesReading =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** Reads by index, synchronously; the same object as before while the value is the same. */
export interface SeriesReader {
  read(index: number): SeriesReading;
}

export interface SeriesSysctl {
  readonly name: string;
  readonly expectation: Expectation;
}

/** The series of node sysctls: read and written at every scrape. */
export interface SysctlSeries {
  /** Reads every sysctl and writes its samples. Never throws; bytes are valid until the next call. */
  write(): Buffer;
}

// No sysctl that is a vector of numbers is longer; netdev_rss_key is hex, and text has no numbers.
const maxFields = 64;
const maxCharacters = 4096;

/**
 * Most readings are the same objects as at the last scrape; then the last scrape's bytes are sent again. `onChange`
 * is told when a reading is another one than before: a scrape may see drift before the cycle does.
 */
export function sysctlSeries(
  sysctls: readonly SeriesSysctl[],
  reader: SeriesReader,
  onChange: () => void = () => undefined,
): SysctlSeries {
  const readings: (SeriesReading | undefined)[] = sysctls.map(() => undefined);
  const values: string[] = sysctls.map(() => '');
  const drifts: string[] = sysctls.map(() => '');
  const unreadables: string[] = sysctls.map(() => '');
  let written: Buffer | undefined;

  return {
    write() {
      let changed = false;
      // A plain loop: this runs for every sysctl at every scrape, without a compiler where the image says --jitless.
      for (let index = 0; index < sysctls.length; index += 1) {
        const reading = reader.read(index);
        const sysctl = sysctls[index];
        if (reading === readings[index] || sysctl === undefined) continue;
        readings[index] = reading;
        changed = true;
        values[index] = valueLines(sysctl.name, reading);
        drifts[index] = driftLine(sysctl, reading);
        unreadables[index] = unreadableLine(sysctl, reading);
      }
      if (written !== undefined && !changed) return written;
      if (written !== undefined) onChange();
      written = Buffer.from(
        family(catalogue.nodeSysctlValue, values) +
          family(catalogue.nodeSysctlDrift, drifts) +
          family(catalogue.nodeSysctlUnreadable, unreadables),
        'utf8',
      );
      return written;
    },
  };
}

function family(
  definition: { readonly name: string; readonly help: string },
  lines: readonly string[],
): string {
  const samples = lines.join('');
  return samples === '' ? '' : familyHead(definition.name, definition.help) + samples;
}

function valueLines(sysctl: string, reading: SeriesReading): string {
  if (reading.kind === 'unreadable') return '';
  return valueFields(reading.value.slice(0, maxCharacters))
    .slice(0, maxFields)
    .map((field, index) => {
      const value = sampleValue(field);
      if (value === undefined) return '';
      return sample(catalogue.nodeSysctlValue.name, { sysctl, index: String(index) }, value);
    })
    .join('');
}

function driftLine({ name, expectation }: SeriesSysctl, reading: SeriesReading): string {
  const verdict = reading.kind === 'value' ? judge(reading.value, expectation) : 'incomparable';
  if (verdict === 'incomparable') return '';
  return sample(catalogue.nodeSysctlDrift.name, { sysctl: name }, verdict === 'drifted' ? '1' : '0');
}

function unreadableLine({ name, expectation }: SeriesSysctl, reading: SeriesReading): string {
  const reason =
    reading.kind === 'unreadable'
      ? reading.reason
      : judge(reading.value, expectation) === 'incomparable'
        ? 'incomparable'
        : undefined;
  return reason === undefined
    ? ''
    : sample(catalogue.nodeSysctlUnreadable.name, { sysctl: name, reason }, '1');
}
