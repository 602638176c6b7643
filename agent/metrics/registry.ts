import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import { catalogue, type MetricDefinition } from './catalogue.ts';
import { familyHead, sample } from './exposition.ts';

type Catalogue = typeof catalogue;
type KeysOf<Type extends MetricDefinition['type']> = {
  [Key in keyof Catalogue]: Catalogue[Key] extends { type: Type } ? Key : never;
}[keyof Catalogue];

/** Read and written anew at every scrape, by sysctl-series. */
const perScrape = ['nodeSysctlDrift', 'nodeSysctlValue', 'nodeSysctlUnreadable'] as const;

export type GaugeKey = Exclude<KeysOf<'gauge'>, (typeof perScrape)[number]>;
export type CounterKey = KeysOf<'counter'>;

/** A series of a gauge: its labels, and its value. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All metrics but the per-sysctl ones. */
export interface MetricRegistry {
  /** Replaces all series of a gauge; an empty list makes it absent. */
  set(gauge: GaugeKey, series: readonly Series[]): void;
  count(counter: CounterKey, labels: Readonly<Record<string, string>>, by?: number): void;
  observeApply(seconds: number): void;
  /** The text format; the same string as before while nothing was set or counted. */
  text(): Promise<string>;
}

/** One gauge with one series and no labels. */
export function single(value: number): readonly Series[] {
  return [{ labels: {}, value }];
}

/** The registry of the agent; none of prom-client's default metrics, whose sampler would cost eight millicores. */
export function metricRegistry(): MetricRegistry {
  const registry = new Registry();
  const gauges = new Map<GaugeKey, Gauge>();
  const counters = new Map<CounterKey, Counter>();
  for (const [key, definition] of definitions()) {
    const { name, help, type } = definition;
    const configuration = { name, help, labelNames: Object.keys(definition.labels), registers: [registry] };
    if (type === 'gauge') gauges.set(key as GaugeKey, new Gauge(configuration));
    if (type === 'counter') counters.set(key as CounterKey, new Counter(configuration));
  }
  const { name, help } = catalogue.applyDuration;
  const duration = new Histogram({ name, help, buckets: applyBuckets, registers: [registry] });
  for (const gauge of gauges.values()) replaceSeries(gauge, []);
  let entries = '';
  let text: Promise<string> | undefined;

  return {
    set(key, series) {
      if (key === 'allowlistEntry') entries = gaugeText(catalogue.allowlistEntry, series);
      else replaceSeries(gauges.get(key), series);
      text = undefined;
    },
    count(key, labels, by = 1) {
      counters.get(key)?.inc(labels, by);
      text = undefined;
    },
    observeApply(seconds) {
      duration.observe(seconds);
      text = undefined;
    },
    async text() {
      text ??= registry.metrics().then((metrics) => `${metrics.trimEnd()}\n${entries}`);
      return text;
    },
  };
}

// Sysctls alone take milliseconds; a restart with its probation takes from seconds to half an hour.
const applyBuckets = [0.1, 1, 5, 15, 30, 60, 120, 300, 600, 1800];

/** What prom-client keeps. Allowlist entries may be ten thousand in four layers: their text alone is kept. */
function definitions(): readonly (readonly [string, MetricDefinition])[] {
  const elsewhere: readonly string[] = [...perScrape, 'allowlistEntry'];
  const all: readonly (readonly [string, MetricDefinition])[] = Object.entries(catalogue);
  return all.filter(([key]) => !elsewhere.includes(key));
}

function replaceSeries(gauge: Gauge | undefined, series: readonly Series[]): void {
  gauge?.reset();
  for (const { labels, value } of series) gauge?.set(labels, value);
  // A gauge without labels comes back from reset as 0, which would be a claim.
  if (series.length === 0) gauge?.remove({});
}

function gaugeText({ name, help }: MetricDefinition, series: readonly Series[]): string {
  if (series.length === 0) return '';
  return (
    familyHead(name, help) + series.map(({ labels, value }) => sample(name, labels, String(value))).join('')
  );
}
