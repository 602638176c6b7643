import type { Problem } from '../errors.ts';
import { checkEntry } from '../kubelet/entries.ts';
import { type KubeletVersion, parseKubeletVersion } from '../kubelet/version.ts';
import { canonical } from '../policy/hash.ts';
import { mergeForNode } from '../policy/merge.ts';
import { type PolicyFile, readPolicies } from '../policy/read.ts';
import type { PolicyDocument } from '../policy/schema.ts';
import { readYaml } from '../policy/yaml.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import type { OutputOptions } from './options.ts';
import { readPolicyFiles } from './policy-files.ts';
import { refuse } from './refuse.ts';
import { renderValidation } from './render-validate.ts';

export interface ValidateArguments extends OutputOptions {
  readonly kubeletVersion?: string;
}

/** What was found in policy files. */
export interface Validation {
  readonly files: readonly string[];
  readonly policies: readonly string[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** `validate`: judges policy files without a node, with file, line and column of every problem. */
export async function validate(
  context: CliContext,
  paths: readonly string[],
  options: ValidateArguments,
): Promise<ExitCode> {
  const version = versionOf(options.kubeletVersion);
  if (version === 'malformed')
    return refuse(context, 'validate', options.output, [malformedVersion(options.kubeletVersion ?? '')]);
  const found = await readPolicyFiles(paths);
  const judged = judgeFiles(found.files, version);
  const validation: Validation = { ...judged, problems: [...found.problems, ...judged.problems] };
  const exitCode = validation.problems.length > 0 ? exitCodes.refused : exitCodes.done;
  if (options.output === 'json') {
    const { problems, ...rest } = validation;
    const outcome = exitCode === exitCodes.done ? 'valid' : 'invalid';
    writeJson(context, {
      ...jsonHead(context, 'validate', { outcome, exitCode, problems }),
      kubeletVersion: version?.text ?? null,
      ...rest,
    });
  } else {
    writeLines(
      context.stdout,
      renderValidation(validation, { width: context.stdout.columns, colour: context.stdout.colour }),
    );
  }
  return exitCode;
}

/** Judges texts. Pure: the schema, every entry by the rules of `version` (or of all versions), and sure conflicts. */
export function judgeFiles(files: readonly PolicyFile[], version: KubeletVersion | undefined): Validation {
  const read = readPolicies(files);
  const entries = files
    .flatMap((file) => entriesOf(file))
    .map(({ entry, where }) => ({ where, verdict: checkEntry(entry, version) }));
  const problems = entries.flatMap(({ verdict, where }) =>
    verdict.ok ? [] : [{ ...verdict.problem, where }],
  );
  const warnings = entries.flatMap(({ verdict, where }) =>
    verdict.ok ? verdict.warnings.map((warning) => ({ ...warning, where })) : [],
  );
  const seen = new Set(read.problems.map(placeKey));
  return {
    files: files.map(({ path }) => path),
    policies: read.policies.map(({ metadata }) => metadata.name),
    // What the schema refused already needs no second complaint.
    problems: [
      ...read.problems,
      ...problems.filter((problem) => !seen.has(placeKey(problem))),
      ...conflicts(read.policies),
    ].sort(byPlace),
    warnings,
  };
}

/** The entries of every document that has some, each with its place; documents of other shapes are the schema's matter. */
function entriesOf(file: PolicyFile): readonly { entry: string; where: NonNullable<Problem['where']> }[] {
  return readYaml(file.path, file.text).documents.flatMap(({ value, locate }) => {
    const entries = property(property(property(value, 'spec'), 'kubelet'), 'allowedUnsafeSysctls');
    if (!Array.isArray(entries)) return [];
    return entries.flatMap((entry: unknown, index) =>
      typeof entry === 'string'
        ? [{ entry, where: locate(['spec', 'kubelet', 'allowedUnsafeSysctls', index], 'value') }]
        : [],
    );
  });
}

function property(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

/** Policies that certainly meet on a node: those for every node, each with those of one and the same selector. */
function conflicts(policies: readonly PolicyDocument[]): readonly Problem[] {
  const groups = new Map<string, PolicyDocument[]>();
  for (const policy of policies) {
    const key = isForEveryNode(policy) ? '' : canonical(policy.spec.nodeSelector ?? {});
    groups.set(key, [...(groups.get(key) ?? []), policy]);
  }
  const everywhere = groups.get('') ?? [];
  const merges = [...groups].map(([key, group]) =>
    mergeForNode(key === '' ? group : [...everywhere, ...group]),
  );
  const problems = merges.flatMap((merged) => (merged.ok ? [] : merged.problems));
  return [...new Map(problems.map((problem) => [problem.message, problem])).values()];
}

function isForEveryNode({ spec }: PolicyDocument): boolean {
  const { matchLabels = {}, matchExpressions = [] } = spec.nodeSelector ?? {};
  return Object.keys(matchLabels).length + matchExpressions.length === 0;
}

/** `1.28`, `v1.28` and `v1.28.2+k3s1` are all versions. */
function versionOf(text: string | undefined): KubeletVersion | undefined | 'malformed' {
  if (text === undefined || text === '') return undefined;
  const bare = text.replace(/^v/, '');
  return parseKubeletVersion(`v${/^\d+\.\d+$/.test(bare) ? `${bare}.0` : bare}`) ?? 'malformed';
}

function malformedVersion(text: string): Problem {
  return {
    code: 'USAGE',
    message: `${JSON.stringify(text)} is no version of a kubelet`,
    next: 'write --kubelet-version 1.28, or what `kubelet --version` prints',
  };
}

function placeKey({ where }: Problem): string {
  return JSON.stringify([where?.file, where?.line, where?.column]);
}

function byPlace(a: Problem, b: Problem): number {
  const [x, y] = [a.where, b.where];
  const files = (x?.file ?? '') < (y?.file ?? '') ? -1 : (x?.file ?? '') > (y?.file ?? '') ? 1 : 0;
  return files || (x?.line ?? 0) - (y?.line ?? 0) || (x?.column ?? 0) - (y?.column ?? 0);
}
