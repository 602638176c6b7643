import { AgentError } from '../errors.ts';

/**
 * JSON with sorted keys and no blanks: equal values give equal text, whatever order their keys were written in. Keys
 * that hold undefined are left out. Throws INTERNAL for what JSON cannot carry, which would make two values look equal.
 */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'number':
      if (!Number.isFinite(value)) throw notJson(String(value));
      return JSON.stringify(value);
    case 'object':
      return value === null ? 'null' : canonicalObject(value);
    case 'bigint':
    case 'function':
    case 'symbol':
    case 'undefined':
      throw notJson(`a ${typeof value}`);
    default:
      throw notJson('an unknown type');
  }
}

function canonicalObject(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw notJson('an object with a class');
  const pairs = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`);
  return `{${pairs.join(',')}}`;
}

function notJson(what: string): AgentError {
  return new AgentError('INTERNAL', `canonical JSON cannot carry ${what}`);
}
