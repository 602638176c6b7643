import type { Place, Problem } from '../errors.ts';
import { decodePolicy } from './decode.ts';
import { pathText } from './explain-issue.ts';
import type { PolicyDocument } from './schema.ts';
import { readYaml } from './yaml.ts';

export { policyFromObject } from './decode.ts';

export interface PolicyFile {
  readonly path: string;
  readonly text: string;
}

export interface ReadPolicies {
  readonly policies: readonly PolicyDocument[];
  readonly problems: readonly Problem[];
}

/**
 * Reads every document of every file, and reports every problem of all of them at once, each with file, line and
 * column. A document with problems yields no policy; two policies of one name yield the first. Never throws.
 */
export function readPolicies(files: readonly PolicyFile[]): ReadPolicies {
  const policies = new Map<string, PolicyDocument>();
  const problems: Problem[] = [];
  for (const { path, text } of files) {
    const stream = readYaml(path, text);
    problems.push(...stream.problems);
    for (const { value, locate, sourceOf } of stream.documents) {
      const decoded = decodePolicy(value, 'document', { nameOf: pathText, locate, sourceOf });
      if (!decoded.ok) {
        problems.push(...decoded.problems);
        continue;
      }
      const { name } = decoded.document.metadata;
      const first = policies.get(name);
      if (first === undefined) policies.set(name, decoded.document);
      else problems.push(twice(name, first.where, decoded.document.where));
    }
  }
  return { policies: [...policies.values()], problems };
}

function twice(name: string, first: Place | undefined, second: Place | undefined): Problem {
  return {
    code: 'POLICY_INVALID',
    message: `a second policy is named ${JSON.stringify(name)}; the first stands at ${placeText(first)}`,
    ...(second === undefined ? {} : { where: second }),
    next: 'Give one of them another name, or write their settings into one document',
  };
}

function placeText(place: Place | undefined): string {
  return place === undefined ? 'an unknown place' : `${place.file}:${place.line ?? 1}:${place.column ?? 1}`;
}
