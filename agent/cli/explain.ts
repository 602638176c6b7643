import { observeNode } from '../engine/observe.ts';
import { AgentError, type Problem } from '../errors.ts';
import { isCovered } from '../kubelet/allowlist.ts';
import { explainSysctl, type SysctlExplanation } from '../kubelet/explain.ts';
import { parseKernelRelease } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import { driftOf, type LayerView } from '../plan/drift.ts';
import type { ObservedNode, ObservedReading } from '../plan/observed.ts';
import { policyDefaults } from '../policy/vocabulary.ts';
import { isValidSysctlName, normaliseName } from '../sysctl/names.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { type FreshReading, readFreshPod } from './fresh-pod.ts';
import { jsonHead, writeJson } from './json.ts';
import { noPolicy } from './load-policy.ts';
import type { OutputOptions, RootOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderExplanations } from './render-explain.ts';

export interface ExplainArguments extends OutputOptions, RootOptions {
  readonly unit?: string;
}

/** What is known of one sysctl, in general and on this node. */
export interface Explained {
  readonly explanation: SysctlExplanation;
  /** Undefined where there is no node to look at. */
  readonly now: ObservedReading | undefined;
  readonly fresh: FreshReading;
  /** The entries of the running kubelet that allow it; undefined where they are unknown. */
  readonly allowedBy: readonly string[] | undefined;
}

export interface ExplainView {
  readonly kubeletVersion: string | undefined;
  readonly kernelRelease: string | undefined;
  /** Why nothing is said of a node. */
  readonly noNode: string | undefined;
  readonly sysctls: readonly Explained[];
}

/** `explain`: says of each sysctl what a pod may do with it, and what this node holds. Touches nothing. */
export async function explain(
  context: CliContext,
  names: readonly string[],
  options: ExplainArguments,
): Promise<ExitCode> {
  const normalised = [...new Set(names.map(normaliseName))];
  const problems = normalised.flatMap(malformed);
  if (problems.length > 0) return refuse(context, 'explain', options.output, problems);
  const view = await look(context, normalised, options);
  if (options.output === 'json') {
    writeJson(context, {
      ...jsonHead(context, 'explain', { outcome: 'explained', exitCode: exitCodes.done, problems: [] }),
      kubeletVersion: view.kubeletVersion ?? null,
      kernelRelease: view.kernelRelease ?? null,
      noNode: view.noNode ?? null,
      sysctls: view.sysctls.map(({ explanation, now, fresh, allowedBy }) => ({
        ...explanation,
        entry: explanation.entry ?? null,
        safeSince:
          explanation.safeSince === undefined
            ? null
            : { kubelet: explanation.safeSince.kubelet, kernel: explanation.safeSince.kernel ?? null },
        now: now ?? null,
        freshPod: fresh,
        allowedBy: allowedBy ?? null,
      })),
    });
  } else {
    writeLines(
      context.stdout,
      renderExplanations(view, { width: context.stdout.columns, colour: context.stdout.colour }),
    );
  }
  return exitCodes.done;
}

async function look(
  context: CliContext,
  names: readonly string[],
  options: ExplainArguments,
): Promise<ExplainView> {
  const fresh = await readFreshPod(await context.commands(), names);
  const seen = await observe(context, names, options);
  const observed = seen.kind === 'node' ? seen.observed : undefined;
  const running = observed === undefined ? undefined : processLayer(observed);
  const version = parseKubeletVersion(observed?.kubeletVersion ?? '');
  const kernel = parseKernelRelease(observed?.kernelRelease ?? '');
  return {
    kubeletVersion: observed?.kubeletVersion,
    kernelRelease: observed?.kernelRelease,
    noNode: seen.kind === 'none' ? seen.reason : undefined,
    sysctls: names.map((name) => ({
      explanation: explainSysctl(name, version, kernel),
      now: observed?.sysctls[name],
      fresh: fresh.get(name) ?? { kind: 'unknown', reason: 'not read' },
      allowedBy:
        running?.kind === 'known' ? running.entries.filter((entry) => isCovered([entry], name)) : undefined,
    })),
  };
}

/** The allowlist of the running kubelet. */
function processLayer(observed: ObservedNode): LayerView | undefined {
  const nothing = { kind: 'unknown', reason: 'not read' } as const;
  return driftOf({
    observed,
    policy: noPolicy(observed.unitName),
    unitOnDisk: undefined,
    configz: nothing,
    sysctlFiles: [],
  }).layers.find(({ layer }) => layer === 'process');
}

type Seen =
  | { readonly kind: 'node'; readonly observed: ObservedNode }
  | { readonly kind: 'none'; readonly reason: string };

/** The node, where there is one: what is known in general is worth saying without it. */
async function observe(
  context: CliContext,
  names: readonly string[],
  options: ExplainArguments,
): Promise<Seen> {
  try {
    const node = await context.connectNode({ root: options.root });
    try {
      if (node.observation.systemd === undefined)
        return { kind: 'none', reason: `${options.root} is an image: no kernel is its own` };
      return {
        kind: 'node',
        observed: await observeNode(node.observation, {
          unit: options.unit ?? policyDefaults.unit,
          sysctls: names,
        }),
      };
    } finally {
      await node.close();
    }
  } catch (error) {
    if (error instanceof AgentError && error.code !== 'INTERNAL')
      return { kind: 'none', reason: error.message };
    throw error;
  }
}

function malformed(name: string): readonly Problem[] {
  if (!name.includes('*') && isValidSysctlName(name)) return [];
  return [
    {
      code: 'USAGE',
      message: `${JSON.stringify(name)} is no name of a sysctl${name.includes('*') ? ', but a pattern' : ''}`,
      next: 'write it as `sysctl -a` prints it, such as net.core.somaxconn',
    },
  ];
}
