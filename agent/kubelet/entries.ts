import type { Problem } from '../errors.ts';
import type { AllowlistEra } from '../sysctl/namespaced.ts';
import { eraOf, kubeletNamespace } from '../sysctl/namespaced.ts';
import { normaliseName } from '../sysctl/names.ts';
import { adviceForMalformed, adviceForNotNamespaced } from './entry-advice.ts';
import type { KubeletVersion } from './version.ts';

/** What a kubelet would say to one entry of its allowlist. */
export type EntryVerdict =
  | { readonly ok: true; readonly entry: string; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problem: Problem };

/** A whole list: what passed (normalised, without duplicates, in order), what did not, and what soon will not. */
export interface EntriesVerdict {
  readonly entries: readonly string[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Judges an entry by the rules of the kubelet that will read it, in that kubelet's words (NewAllowlist in
 * pkg/kubelet/sysctl). It is judged in its normalised spelling, which is what gets written. An unknown version must
 * satisfy every version. An entry that passes now and fails from 1.29 on is a warning: the upgrade would stop the node.
 */
export function checkEntry(entry: string, version: KubeletVersion | undefined): EntryVerdict {
  const eras = version === undefined ? allEras : [eraOf(version)];
  const reader = version === undefined ? 'a kubelet' : `kubelet ${version.text}`;
  const normalised = normaliseName(entry);
  for (const era of eras) {
    const complaint = complaintOf(entry, normalised, era);
    if (complaint !== undefined) {
      const who = version === undefined ? `a kubelet ${eraRanges[era]}` : reader;
      return { ok: false, problem: refusal(complaint, `${who} would exit at start with`) };
    }
  }
  const later = complaintOf(entry, normalised, 'exactNames');
  if (later === undefined) return { ok: true, entry: normalised, warnings: [] };
  const lead = `${reader} accepts ${goQuote(normalised)}, but from 1.29 on the kubelet exits at start with`;
  return { ok: true, entry: normalised, warnings: [refusal(later, lead)] };
}

/** Judges a list; every entry is looked at, so all problems come at once. */
export function checkEntries(
  entries: readonly string[],
  version: KubeletVersion | undefined,
): EntriesVerdict {
  const passed = new Set<string>();
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const entry of entries) {
    const verdict = checkEntry(entry, version);
    if (!verdict.ok) {
      problems.push(verdict.problem);
    } else if (!passed.has(verdict.entry)) {
      passed.add(verdict.entry);
      warnings.push(...verdict.warnings);
    }
  }
  return { entries: [...passed], problems, warnings };
}

interface Complaint {
  readonly code: 'ENTRY_MALFORMED' | 'ENTRY_NOT_NAMESPACED';
  /** The kubelet's own error text. */
  readonly text: string;
  readonly next: string;
}

// Newest first: its complaint is the one a reader can look up.
const allEras: readonly AllowlistEra[] = ['exactNames', 'prefixes', 'dotsOnly'];

const eraRanges: Readonly<Record<AllowlistEra, string>> = {
  exactNames: 'from 1.29 on',
  prefixes: 'from 1.23 to 1.28',
  dotsOnly: 'up to 1.22',
};

const maxLength = 253;
const segment = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const lastSegment = '([a-z0-9][-_a-z0-9]*)?[a-z0-9*]';
const withSlashes = `(${segment}[\\./])*${lastSegment}`;
const dotsAlone = `(${segment}\\.)*${lastSegment}`;

function complaintOf(entry: string, normalised: string, era: AllowlistEra): Complaint | undefined {
  const pattern = era === 'dotsOnly' ? dotsAlone : withSlashes;
  // Length first: it also bounds the work of the expression.
  if (normalised.length > maxLength || !new RegExp(`^${pattern}$`).test(normalised)) {
    return {
      code: 'ENTRY_MALFORMED',
      text: `sysctl ${goQuote(entry)} must have at most ${maxLength} characters and match regex ${pattern}`,
      next: adviceForMalformed(entry),
    };
  }
  const prefixed = normalised.endsWith('*');
  const name = prefixed ? normalised.slice(0, -1) : normalised;
  if (kubeletNamespace(name, era) !== undefined) return undefined;
  return {
    code: 'ENTRY_NOT_NAMESPACED',
    text: notNamespacedText(normalised, name, prefixed, era),
    next: adviceForNotNamespaced(normalised),
  };
}

function notNamespacedText(entry: string, name: string, prefixed: boolean, era: AllowlistEra): string {
  // 1.29 prints a pattern without its `*`; before, a single name got "the sysctl" in the singular.
  if (era === 'exactNames') return `the sysctls ${goQuote(name)} are not known to be namespaced`;
  return `the ${prefixed ? 'sysctls' : 'sysctl'} ${goQuote(entry)} are not known to be namespaced`;
}

function refusal(complaint: Complaint, lead: string): Problem {
  return { code: complaint.code, message: `${lead}: ${complaint.text}`, next: complaint.next };
}

/** Go's %q for the characters that can reach a command line. */
function goQuote(text: string): string {
  const short: Readonly<Record<string, string>> = {
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '"': '\\"',
    '\\': '\\\\',
  };
  const quoted = text.replace(/["\\\p{Cc}\p{Zs}]/gu, (character) => {
    if (character === ' ') return character;
    const code = character.codePointAt(0) ?? 0;
    return short[character] ?? (code < 0x80 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
  return `"${quoted}"`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
