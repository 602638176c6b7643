import * as z from 'zod';
import { unreachable } from '../errors.ts';
import type { ErrorCode, Place, Problem } from '../errors.ts';
import { nearest } from './nearest.ts';
import { policySchema } from './schema.ts';

export type PathKey = string | number;

/** Where the values of a document came from, so that a problem can name and place them. */
export interface Source {
  /** What a value is called to its author: a path in a document, a flag on the command line. */
  readonly nameOf: (path: readonly PathKey[]) => string;
  /** Where a value, or the key that holds it, stands in the text. */
  readonly locate: (path: readonly PathKey[], what: 'key' | 'value') => Place | undefined;
  /** A scalar as it was written, where there is a text. */
  readonly sourceOf: (path: readonly PathKey[]) => string | undefined;
}

/** The problems that one finding of the schema stands for: what is wrong, where, and the way out. Never throws. */
export function problemsOfIssue(
  issue: z.core.$ZodIssue,
  document: unknown,
  source: Source,
): readonly Problem[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  const found = valueAt(document, path);
  const fallback = found === null ? 'Give it a value, or leave the key out' : undefined;
  const problem = (message: string, advice?: string, what: 'key' | 'value' = 'value'): Problem => {
    const next = advice ?? fallback;
    const where = source.locate(path, found === undefined && path.length > 0 ? 'key' : what);
    return {
      code: codeOf(path),
      message: `${source.nameOf(path)} ${message}`,
      ...(where === undefined ? {} : { where }),
      ...(next === undefined ? {} : { next }),
    };
  };
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey(path, key, source));
  }
  if (found === undefined) return [problem('is missing')];
  switch (issue.code) {
    case 'invalid_type':
      return [problem(...wrongType(issue.expected, found, source.sourceOf(path)))];
    case 'invalid_value': {
      const words = issue.values.map(String);
      const near = typeof found === 'string' ? nearest(found, words) : undefined;
      const wanted = words.length === 1 ? words.join() : `one of ${words.join(', ')}`;
      return [
        problem(`must be ${wanted}, but is ${shown(found)}`, near === undefined ? undefined : `Use ${near}`),
      ];
    }
    case 'too_big':
      return [problem(`must ${outOfBounds(`at most ${issue.maximum}`, found)}`)];
    case 'too_small':
      return [problem(`must ${outOfBounds(`at least ${issue.minimum}`, found)}`)];
    case 'invalid_key':
      return [problem(issue.issues[0]?.message ?? 'is not a key', undefined, 'key')];
    case 'invalid_format':
      return [problem(`${issue.message}; it is ${shown(found)}`)];
    case 'custom':
    case 'invalid_element':
    case 'invalid_union':
    case 'not_multiple_of':
      return [problem(issue.message)];
    default:
      return unreachable(issue);
  }
}

function wrongType(wanted: string, found: unknown, source: string | undefined): [string, string | undefined] {
  if (wanted === 'string' && (typeof found === 'number' || typeof found === 'boolean')) {
    const text = source ?? String(found);
    return [`must be text, but ${text} is a ${typeof found}`, `Quote it: "${text}"`];
  }
  if (wanted !== 'int' && wanted !== 'number')
    return [`must be ${typeWords[wanted] ?? wanted}, but is ${shown(found)}`, undefined];
  const quotedNumber = typeof found === 'string' && /^[0-9]+$/.test(found);
  return [
    `must be a whole number, but is ${shown(found)}`,
    quotedNumber ? `Write ${found} without quotes` : undefined,
  ];
}

function outOfBounds(bound: string, found: unknown): string {
  if (Array.isArray(found)) return `have ${bound} items, but has ${found.length}`;
  if (typeof found === 'string') return `have ${bound} characters, but has ${found.length}`;
  return `be ${bound}, but is ${shown(found)}`;
}

/** `spec.sysctls[0].value`. */
export function pathText(path: readonly PathKey[]): string {
  if (path.length === 0) return 'the document';
  return path
    .map((key, index) => {
      if (typeof key === 'number') return `[${key}]`;
      if (!/^[A-Za-z][A-Za-z0-9]*$/.test(key)) return `[${quoted(key)}]`;
      return index === 0 ? key : `.${key}`;
    })
    .join('');
}

const typeWords: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
};

function unknownKey(path: readonly PathKey[], key: string, source: Source): Problem {
  const known = knownKeys(path);
  const near = nearest(key, known);
  const where = source.locate([...path, key], 'key');
  const holder = path.length === 0 ? 'a NodeSysctlPolicy' : source.nameOf(path);
  return {
    code: 'POLICY_INVALID',
    message: `${holder} has no key ${quoted(key)}`,
    ...(where === undefined ? {} : { where }),
    next: near === undefined ? `Known here: ${known.join(', ')}` : `Use ${near}`,
  };
}

// The keys that the schema knows at a path, in its own order.
function knownKeys(path: readonly PathKey[]): readonly string[] {
  let schema: unknown = policySchema;
  for (const key of path) {
    schema = bare(schema);
    if (schema instanceof z.ZodObject) schema = schema.shape[key];
    else if (schema instanceof z.ZodArray) schema = schema.element;
  }
  schema = bare(schema);
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

function bare(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? bare(schema.unwrap()) : schema;
}

function codeOf(path: readonly PathKey[]): ErrorCode {
  if (path[1] === 'kubelet' && path[2] === 'allowedUnsafeSysctls' && path.length === 4)
    return 'ENTRY_MALFORMED';
  if (path[1] !== 'sysctls' || path.length !== 4) return 'POLICY_INVALID';
  if (path[3] === 'name') return 'SYSCTL_NAME_INVALID';
  return path[3] === 'remediation' ? 'POLICY_INVALID' : 'SYSCTL_VALUE_INVALID';
}

function valueAt(document: unknown, path: readonly PathKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PathKey, unknown>)[key];
  }
  return value;
}

function shown(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  return typeof value === 'string' ? quoted(value) : JSON.stringify(value);
}

// A message stays one readable line whatever the document holds.
function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
