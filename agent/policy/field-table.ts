import { policyJsonSchema } from './json-schema.ts';
import type { SchemaNode } from './json-schema.ts';

/** The fields of `spec` as a Markdown table, from the one schema: name, type, default, meaning. */
export function policyFieldTable(): string {
  const spec = policyJsonSchema().properties?.['spec'] ?? {};
  const rows = rowsOf('spec', spec).map((cells) => `| ${cells.map(escaped).join(' | ')} |`);
  return ['| Field | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function rowsOf(path: string, node: SchemaNode): readonly (readonly string[])[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, field]) => {
    const here = `${path}.${key}`;
    const required = node.required?.includes(key) === true;
    const byDefault = field.byDefault === undefined ? (required ? 'required' : '') : `\`${field.byDefault}\``;
    const row = [`\`${here}\``, typeText(field), byDefault, field.description ?? ''];
    return [row, ...rowsOf(here, field), ...rowsOf(`${here}[]`, field.items ?? {})];
  });
}

function typeText(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map((word) => `\`${word}\``).join(', ');
  if (node.type === 'array')
    return `list of ${node.items?.type === 'object' ? 'mappings' : 'text'}${atMost(node)}`;
  if (node.type === 'integer') return `${node.minimum} to ${node.maximum}`;
  return node.type === 'object' ? 'mapping' : 'text';
}

function atMost(node: SchemaNode): string {
  return node.maxItems === undefined ? '' : `, at most ${node.maxItems}`;
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
