import { parse } from 'ini';

/** One line of a sysctl.d file. The key is the path below /proc/sys, or a glob over it. */
export interface SysctlAssignment {
  readonly key: string;
  /** Undefined for `-name`, which only keeps globs off that name. */
  readonly value: string | undefined;
  /** Counts from 1. */
  readonly line: number;
}

/**
 * Reads a sysctl.d file line by line as systemd-sysctl does: `#` and `;` begin a comment only at the start of a line,
 * quotes and brackets mean nothing, the first `=` splits, a leading `-` is dropped, and what is no assignment is
 * passed over. Never throws.
 */
export function readSysctlLines(text: string): readonly SysctlAssignment[] {
  return text.split('\n').flatMap((line, index) => {
    const assignment = readLine(line);
    return assignment === undefined ? [] : [{ ...assignment, line: index + 1 }];
  });
}

function readLine(line: string): Omit<SysctlAssignment, 'line'> | undefined {
  const stripped = strip(line);
  if (stripped === '' || /^[#;]/.test(stripped)) return undefined;
  const assigns = stripped.includes('=');
  const optional = stripped.startsWith('-');
  if (!assigns && !optional) return undefined;

  const [pair] = Object.entries(parse(shield(optional ? stripped.slice(1) : stripped)));
  if (pair === undefined) return undefined;
  const key = pathKey(strip(unshield(pair[0])));
  if (key === '') return undefined;
  // `ini` turns true, false and null into themselves; as text they are what stood there.
  return { key, value: assigns ? strip(unshield(String(pair[1]))) : undefined };
}

// On its own `ini` would end values at ; and #, strip quotes, see sections and arrays in brackets, read backslashes as
// escapes, drop `__proto__`, split a dotted name whose value is null, and trim more kinds of blanks than systemd. A
// shielded letter is none of these.
function shield(line: string): string {
  return line.replace(
    /[^A-Za-z0-9/*?= \t-]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function unshield(text: string): string {
  return text.replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** sysctl_normalize of systemd: a dot first swaps dots and slashes; then empty and `.` parts of the path go. */
function pathKey(name: string): string {
  const path =
    name.match(/[./]/)?.[0] === '.' ? name.replace(/[./]/g, (letter) => (letter === '.' ? '/' : '.')) : name;
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function strip(text: string): string {
  return text.replace(/^[ \t\r]+|[ \t\r]+$/g, '');
}
