import { isCovered, normaliseEntry } from '../kubelet/allowlist.ts';
import type { NodeDrift } from '../plan/drift.ts';

/** Prefix of the labels that say which policies a node was seen to carry out. */
export const labelPrefix = 'sysctl-agent.dev/';

/** The taint with which a node may register, so that it gets no pod before its kubelet has been proven. */
export const startupTaint = 'sysctl-agent.dev/not-ready';

/** A policy as far as labels go. */
export interface LabelledPolicy {
  readonly name: string;
  /** Of its entries; a label value. */
  readonly hash: string;
  readonly entries: readonly string[];
}

export interface LabelQuestion {
  readonly present: Readonly<Record<string, string>>;
  readonly policies: readonly LabelledPolicy[];
  readonly state: string;
  readonly drift: NodeDrift;
  /** Whether state and drift were found under these very policies. */
  readonly isCurrent: boolean;
}

/**
 * What to change about the node's labels: a value sets one, null removes one. They follow the running kubelet, never a
 * wish. Widening: a policy's label is set once the process allows all its entries and no change is under way; until then
 * the older label stays, for what it says still holds. Narrowing: as soon as entries are to go, labels of changed
 * policies are removed, so that no new pod arrives. A process that cannot be looked at changes nothing.
 */
export function labelChanges({
  present,
  policies,
  state,
  drift,
  isCurrent,
}: LabelQuestion): Readonly<Record<string, string | null>> {
  const process = drift.layers.find(({ layer }) => layer === 'process');
  if (process?.kind !== 'known' || !isCurrent) return {};
  const narrowing = process.extra.length > 0;
  const changes: Record<string, string | null> = {};
  for (const { name, hash, entries } of policies) {
    const key = labelPrefix + name;
    const allowed = entries.every((entry) => isAllowed(entry, process));
    if (!allowed && present[key] === hash) changes[key] = null;
    else if (present[key] === hash) continue;
    else if (narrowing) {
      if (key in present) changes[key] = null;
    } else if (allowed && settledStates.has(state)) changes[key] = hash;
  }
  const wanted = new Set(policies.map(({ name }) => labelPrefix + name));
  for (const [key, value] of Object.entries(present)) {
    if (key.startsWith(labelPrefix) && hashPattern.test(value) && !wanted.has(key)) changes[key] = null;
  }
  return changes;
}

/**
 * The labels that must be gone before the node is at risk. Where nobody has looked at the node under the policies of
 * now, that is every label that an older form of them left.
 */
export function labelRemovals(question: LabelQuestion): Readonly<Record<string, null>> {
  const { present, policies, isCurrent } = question;
  const stale = policies
    .filter(
      ({ name, hash }) => present[labelPrefix + name] !== undefined && present[labelPrefix + name] !== hash,
    )
    .map(({ name }) => labelPrefix + name);
  const changes = Object.entries(labelChanges(question));
  const gone = isCurrent ? changes.filter(([, value]) => value === null).map(([key]) => key) : stale;
  return Object.fromEntries(gone.map((key) => [key, null]));
}

/** Whether the start-up taint may go: the kubelet allows what every policy of the node wants, and no change is open. */
export function isProven({ policies, state, drift, isCurrent }: Omit<LabelQuestion, 'present'>): boolean {
  const process = drift.layers.find(({ layer }) => layer === 'process');
  if (!isCurrent || !settledStates.has(state)) return false;
  if (policies.length === 0) return true;
  return (
    process?.kind === 'known' &&
    policies.every(({ entries }) => entries.every((entry) => isAllowed(entry, process)))
  );
}

/** Short enough for a label value and for a table. */
export const labelHashDigits = 10;

// Labels below the prefix that do not look like ours may be somebody's own.
const hashPattern = /^[0-9a-f]{10}$/;

// Drifted: the kubelet may be as wanted and only a sysctl of the node is not.
const settledStates: ReadonlySet<string> = new Set(['converged', 'drifted', 'fighting']);

function isAllowed(
  entry: string,
  process: { readonly entries: readonly string[]; readonly missing: readonly string[] },
): boolean {
  // `missing` knows the kubelet's safe sysctls, which are allowed without an entry.
  return (
    isCovered(process.entries, entry) || !process.missing.map(normaliseEntry).includes(normaliseEntry(entry))
  );
}
