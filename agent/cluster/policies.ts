import { createHash } from 'node:crypto';
import type { Problem } from '../errors.ts';
import { unite } from '../kubelet/allowlist.ts';
import { canonical } from '../policy/hash.ts';
import { mergeForNode, type NodePolicy } from '../policy/merge.ts';
import { policyFromObject } from '../policy/read.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { selects } from '../policy/select.ts';
import { apiGroup } from '../policy/vocabulary.ts';
import { follow } from './follow.ts';
import { type LabelledPolicy, labelHashDigits } from './node-labels.ts';
import { metaOf } from './objects.ts';
import type { ClusterPorts } from './ports.ts';
import { firstOf } from './races.ts';

/** The policies in the cluster, and what they want of one node; the shape of engine/loop-ports.ts. */
export interface ClusterPolicies {
  load(): Promise<
    | { readonly ok: true; readonly policy: NodePolicy }
    | { readonly ok: false; readonly problems: readonly Problem[] }
  >;
  readonly files: readonly string[];
  onChange(changed: () => void): void;
  /** Policies that select this node, readable ones only; those of files as they were loaded last. */
  selected(): readonly PolicyDocument[];
  generations(): Readonly<Record<string, number>>;
  /** Hash of what they want together, as the agent's loop makes it; undefined while they contradict each other. */
  hash(): string | undefined;
  /** Call when the node's labels changed. */
  labelsChanged(): void;
  close(): void;
}

interface Read {
  readonly name: string;
  readonly generation: number | undefined;
  readonly document: PolicyDocument | undefined;
  readonly problems: readonly Problem[];
}

export interface ClusterPoliciesOptions {
  /** Undefined while they are not known. */
  readonly nodeLabels: () => Readonly<Record<string, string>> | undefined;
  /** Waits for the first answer before the first load gives up. Milliseconds. */
  readonly patienceMs?: number;
  /** From files and flags, beside those of the cluster. */
  readonly more?: () => Promise<{
    readonly policies: readonly PolicyDocument[];
    readonly problems: readonly Problem[];
  }>;
}

/** Follows all NodeSysctlPolicy objects, by one watch. */
export function followPolicies(ports: ClusterPorts, options: ClusterPoliciesOptions): ClusterPolicies {
  const listeners = new Set<() => void>();
  const answered = Promise.withResolvers<void>();
  const tell = (): void => {
    if (isKnown()) answered.resolve();
    for (const listener of listeners) listener();
  };
  const follower = follow<Read>({
    ...ports,
    collection: { path: `/apis/${apiGroup}/v1alpha1/nodesysctlpolicies`, consistent: false },
    decode: readPolicy,
    changed: tell,
    troubled: (reason) => {
      if (reason === undefined) return;
      ports.log('warn', 'policiesNotWatched', {}, reason);
      answered.resolve();
    },
  });
  const isKnown = (): boolean => follower.current() !== undefined && options.nodeLabels() !== undefined;
  const stop = new AbortController();
  const all = (): readonly Read[] => [...(follower.current()?.objects.values() ?? [])];
  let others: readonly PolicyDocument[] = [];
  const ofCluster = (): readonly PolicyDocument[] =>
    all().flatMap(({ document }) =>
      document !== undefined && selects(document, options.nodeLabels()) === 'matches' ? [document] : [],
    );

  return {
    files: [],
    onChange: (changed) => {
      listeners.add(changed);
    },
    labelsChanged: tell,
    selected: () => [...ofCluster(), ...others],
    hash: () => {
      const merged = mergeForNode([...ofCluster(), ...others]);
      return merged.ok ? createHash('sha256').update(canonical(merged.policy)).digest('hex') : undefined;
    },
    generations: () =>
      Object.fromEntries(
        all().flatMap(({ name, generation }) => (generation === undefined ? [] : [[name, generation]])),
      ),
    close: () => {
      stop.abort(new Error('closed'));
      follower.close();
    },
    load: async () => {
      const more = await options.more?.();
      // At a start the first answer is on its way: that is no failure yet.
      await firstOf(answered.promise, ports.clock, options.patienceMs ?? 10_000, stop.signal).catch(
        () => undefined,
      );
      if (!isKnown()) {
        const why = follower.trouble() ?? "the node's labels are not known";
        return { ok: false, problems: [notRead(why), ...(more?.problems ?? [])] };
      }
      // A document that cannot be read may be meant for this node: nobody can tell, so nothing is done.
      const problems = [...all().flatMap((read) => read.problems), ...(more?.problems ?? [])];
      if (problems.length > 0) return { ok: false, problems };
      const labels = options.nodeLabels();
      others = (more?.policies ?? []).filter((policy) => selects(policy, labels) === 'matches');
      return mergeForNode([...ofCluster(), ...others]);
    },
  };
}

/** What labels say of a policy: a hash of its entries alone, in any order and spelling. */
export function labelledPolicy({ metadata, spec }: PolicyDocument): LabelledPolicy {
  const entries = unite(spec.kubelet.allowedUnsafeSysctls);
  const hash = createHash('sha256')
    .update(canonical([...entries].sort()))
    .digest('hex');
  return { name: metadata.name, entries, hash: hash.slice(0, labelHashDigits) };
}

function readPolicy(object: unknown): Read | undefined {
  const meta = metaOf(object);
  if (meta === undefined) return undefined;
  const decoded = policyFromObject(object, `NodeSysctlPolicy ${meta.name}`);
  return {
    name: meta.name,
    generation: meta.generation,
    document: decoded.ok ? decoded.document : undefined,
    problems: decoded.ok ? [] : decoded.problems,
  };
}

function notRead(why: string): Problem {
  return {
    code: 'POLICY_UNREADABLE',
    message: `the policies of the cluster were not read: ${why}`,
    next: 'the agent goes on by itself once the API server answers; check manifests/crds and its rights',
  };
}
