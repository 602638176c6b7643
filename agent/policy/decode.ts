import type { Problem } from '../errors.ts';
import { documentOf } from './document.ts';
import { pathText, problemsOfIssue } from './explain-issue.ts';
import type { Source } from './explain-issue.ts';
import { policySchema } from './schema.ts';
import type { PolicyDocument } from './schema.ts';
import { policyKind } from './vocabulary.ts';

export type Decoded =
  | { readonly ok: true; readonly document: PolicyDocument }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Checks one document; every problem at once, in the order of the text. Never throws. */
export function decodePolicy(value: unknown, origin: PolicyDocument['origin'], source: Source): Decoded {
  const result = policySchema.safeParse(value);
  if (!result.success) {
    // A foreign document is one mistake, not one for each of its keys.
    const issues = result.error.issues.filter(({ path }) => !isForeign(value) || isIdentity(path));
    const problems = issues.flatMap((issue) => problemsOfIssue(issue, value, source));
    return { ok: false, problems: problems.sort(byPlace) };
  }
  const where = source.locate(['metadata', 'name'], 'value');
  return { ok: true, document: documentOf(result.data, origin, where) };
}

/** Checks one custom resource as the API server serves it; `name` says in problems what was read. */
export function policyFromObject(value: unknown, name: string): Decoded {
  return decodePolicy(value, 'document', {
    nameOf: pathText,
    locate: () => ({ file: name }),
    sourceOf: () => undefined,
  });
}

function isForeign(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind !== policyKind;
}

function isIdentity(path: readonly PropertyKey[]): boolean {
  return path[0] === 'apiVersion' || path[0] === 'kind';
}

function byPlace(a: Problem, b: Problem): number {
  const lines = (a.where?.line ?? 0) - (b.where?.line ?? 0);
  return lines === 0 ? (a.where?.column ?? 0) - (b.where?.column ?? 0) : lines;
}
