/**
 * The small exposition writer: for series that are written anew at every scrape, and there may be thousands of them.
 * Valid in Prometheus' text format and in OpenMetrics alike, for it only writes gauges.
 */

/** The lines above the samples of a gauge. */
export function familyHead(name: string, help: string): string {
  return `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} gauge\n`;
}

/** One sample with its line end. `value` is a number as Prometheus reads it. */
export function sample(name: string, labels: Readonly<Record<string, string>>, value: string): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}{${pairs.join(',')}} ${value}\n`;
}

/** prom-client's text, which ends every family with an empty line, as OpenMetrics without its final EOF. */
export function toOpenMetrics(text: string): string {
  return (
    text
      .replaceAll(/\n{2,}/g, '\n')
      // The family of a counter goes without the suffix, its samples with it.
      .replaceAll(/^(# HELP \S+)_total /gm, '$1 ')
      .replaceAll(/^(# TYPE \S+)_total counter$/gm, '$1 counter')
  );
}

/** A field as a sample's value; undefined for what is no decimal integer. Beyond 2^53 the last digits are Prometheus' loss. */
export function sampleValue(field: string): string | undefined {
  // Prometheus parses a float64 of any length; 400 digits would be +Inf, and no sysctl has them.
  return /^[+-]?\d{1,40}$/.test(field) ? field : undefined;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
