import type { Stored } from './store.ts';

/** What a list or a watch asks for. */
export function selector(query: URLSearchParams): (object: Stored) => boolean {
  const labels = parseLabels(query.get('labelSelector') ?? '');
  const fields = (query.get('fieldSelector') ?? '').split(',').filter((part) => part !== '');
  return (object) =>
    labels.every((holds) => holds(object.metadata.labels ?? {})) &&
    fields.every((part) => {
      const [path = '', value = ''] = part.split('=');
      return (at(object, path.split('.')) ?? '') === value;
    });
}

type Holds = (labels: Record<string, string>) => boolean;

function parseLabels(text: string): readonly Holds[] {
  const parts = text.match(/[^,(]+(\([^)]*\))?/g) ?? [];
  return parts.map((part) => {
    const within = /^\s*(\S+) in \(([^)]*)\)\s*$/.exec(part);
    if (within !== null) {
      const [, key = '', values = ''] = within;
      const allowed = values.split(',').map((value) => value.trim());
      return (labels) => allowed.includes(labels[key] ?? '');
    }
    const [key = '', value] = part.trim().split('=');
    return (labels) => (value === undefined ? key in labels : labels[key] === value);
  });
}

function at(value: unknown, path: readonly string[]): unknown {
  let found: unknown = value;
  for (const key of path)
    found = typeof found === 'object' && found !== null ? Reflect.get(found, key) : undefined;
  return found;
}
