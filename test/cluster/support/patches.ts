/** JSON merge patch, RFC 7386. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}

/** The operations of JSON patch (RFC 6902) that the agent uses; undefined when a test does not hold. */
export function jsonPatch(target: unknown, operations: readonly Operation[]): unknown {
  let current: unknown = structuredClone(target);
  for (const { op, path, value } of operations) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let parent: unknown = current;
    for (const key of keys)
      parent = isRecord(parent) || Array.isArray(parent) ? Reflect.get(parent, key) : undefined;
    if (!isRecord(parent) && !Array.isArray(parent)) return undefined;
    const found: unknown = Reflect.get(parent, last);
    if (op === 'test' && JSON.stringify(found) !== JSON.stringify(value)) return undefined;
    if (op === 'add' || op === 'replace') Reflect.set(parent, last, value);
    if (op === 'remove') Reflect.deleteProperty(parent, last);
    current = structuredClone(current);
  }
  return current;
}

export interface Operation {
  readonly op: 'test' | 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
