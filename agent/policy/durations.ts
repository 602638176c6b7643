/** `30s`, `2m`, `1m30s`, `500ms`: whole numbers, largest unit first. RE2 and JavaScript read it alike. */
export const durationPattern = /^([0-9]+m)?([0-9]+s)?([0-9]+ms)?$/;

/** Milliseconds of a duration as the policy writes it; undefined when the text is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$/.exec(text);
  if (text === '' || match === null) return undefined;
  const [, minutes = '0', seconds = '0', milliseconds = '0'] = match;
  return Number(minutes) * 60_000 + Number(seconds) * 1000 + Number(milliseconds);
}

/** The shortest text that `parseDuration` reads back as the same milliseconds. */
export function formatDuration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.floor((ms % 60_000) / 1000);
  const milliseconds = ms % 1000;
  const parts = [
    minutes === 0 ? '' : `${minutes}m`,
    seconds === 0 ? '' : `${seconds}s`,
    milliseconds === 0 ? '' : `${milliseconds}ms`,
  ];
  return parts.join('') || '0s';
}
