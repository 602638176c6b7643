import type { Problem } from '../errors.ts';
import { decodePolicy } from './decode.ts';
import type { PathKey, Source } from './explain-issue.ts';
import { pathText } from './explain-issue.ts';
import type { PolicyDocument } from './schema.ts';
import { apiVersion, policyKind } from './vocabulary.ts';

/** The short cuts of the command line, as they were given; environment variables arrive here in the same form. */
export interface PolicyFlags {
  /** `--allow ENTRY[,ENTRY]`, one item for each time it was given. */
  readonly allow: readonly string[];
  /** `--sysctl NAME=VALUE`, one item for each time it was given. */
  readonly sysctl: readonly string[];
  readonly unit?: string | undefined;
  readonly existing?: string | undefined;
  readonly narrowing?: string | undefined;
  readonly placement?: string | undefined;
  /** For every `--sysctl`; Write when absent: who types a value wants it set. */
  readonly remediation?: string | undefined;
  readonly maxUnavailable?: string | undefined;
  readonly maxFailed?: string | undefined;
  readonly probation?: string | undefined;
}

/** The name of the policy that the flags make up. */
export const flagPolicyName = 'command-line';

/**
 * The policy that the flags make up, for every node; none when no flag was given. It goes through the same schema as a
 * document; each problem names the flag. Never throws.
 */
export function policyFromFlags(flags: PolicyFlags): {
  readonly policies: readonly PolicyDocument[];
  readonly problems: readonly Problem[];
} {
  const entries = flags.allow.filter((list) => list.trim() !== '').flatMap((list) => list.split(','));
  const assignments = flags.sysctl.map(assignmentOf);
  const malformed = assignments.flatMap(({ text, value }) =>
    value === undefined ? [notAssignment(text)] : [],
  );
  const sysctls = assignments.filter(({ value }) => value !== undefined);
  const kubelet = stated({
    unit: flags.unit,
    allowedUnsafeSysctls: entries.length === 0 ? undefined : entries,
    existing: flags.existing,
    narrowing: flags.narrowing,
    placement: flags.placement,
  });
  const rollout = stated({
    maxUnavailable: numberOf(flags.maxUnavailable),
    maxFailed: numberOf(flags.maxFailed),
    probation: flags.probation,
  });
  const remediation = flags.remediation ?? 'Write';
  const spec = stated({
    kubelet,
    sysctls:
      sysctls.length === 0 ? undefined : sysctls.map(({ name, value }) => ({ name, value, remediation })),
    rollout,
  });
  if (spec === undefined) return { policies: [], problems: malformed };
  const written = { apiVersion, kind: policyKind, metadata: { name: flagPolicyName }, spec };
  const decoded = decodePolicy(written, 'flags', {
    ...noText,
    nameOf: (path) => flagOf(path, entries, sysctls),
  });
  if (!decoded.ok) {
    // --remediation goes to every sysctl: one mistake, one problem.
    const problems = new Map(decoded.problems.map((problem) => [problem.message, asUsage(problem)]));
    return { policies: [], problems: [...malformed, ...problems.values()] };
  }
  return { policies: malformed.length === 0 ? [decoded.document] : [], problems: malformed };
}

const noText: Pick<Source, 'locate' | 'sourceOf'> = { locate: () => undefined, sourceOf: () => undefined };

interface Assignment {
  readonly text: string;
  readonly name: string;
  readonly value: string | undefined;
}

// The first "=" divides: values such as core_pattern may hold more of them, names hold none.
function assignmentOf(text: string): Assignment {
  const at = text.indexOf('=');
  return at === -1
    ? { text, name: text, value: undefined }
    : { text, name: text.slice(0, at).trim(), value: text.slice(at + 1) };
}

function notAssignment(text: string): Problem {
  return {
    code: 'USAGE',
    message: `--sysctl ${JSON.stringify(text)} has no "="`,
    next: 'Write --sysctl NAME=VALUE, such as --sysctl vm.max_map_count=262144',
  };
}

function stated<T extends object>(settings: T): Partial<T> | undefined {
  const entries = Object.entries(settings).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as Partial<T>);
}

// Text that is no number goes on to the schema, which says so.
function numberOf(text: string | undefined): number | string | undefined {
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : text;
}

function flagOf(
  path: readonly PathKey[],
  entries: readonly string[],
  sysctls: readonly Assignment[],
): string {
  const [, part, key, field] = path;
  if (part === 'sysctls') {
    if (field === 'remediation') return '--remediation';
    return typeof key === 'number' ? `--sysctl ${JSON.stringify(sysctls[key]?.text)}` : '--sysctl';
  }
  if (key === 'allowedUnsafeSysctls') {
    return typeof field === 'number' ? `--allow ${JSON.stringify(entries[field])}` : '--allow';
  }
  return typeof key === 'string' ? `--${flagNames[key] ?? key}` : pathText(path);
}

const flagNames: Readonly<Record<string, string>> = {
  maxUnavailable: 'max-unavailable',
  maxFailed: 'max-failed',
};

function asUsage(problem: Problem): Problem {
  return problem.code === 'POLICY_INVALID' ? { ...problem, code: 'USAGE' } : problem;
}
