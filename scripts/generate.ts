// Writes the files that are generated from sources; `--check` only compares, and exits 1 where they differ.
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { parse, stringify } from 'yaml';
import { statusCustomResourceDefinition } from '../agent/cluster/status-schema.ts';
import { metricTable } from '../agent/metrics/catalogue.ts';
import { policyCustomResourceDefinition } from '../agent/policy/crd.ts';
import { policyFieldTable } from '../agent/policy/field-table.ts';

/** A generated file: its whole text, from the text that is there now (null: none). */
export interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly generate: (present: string | null) => string;
}

export const generatedFiles: readonly GeneratedFile[] = [
  {
    path: 'manifests/crds/nodesysctlpolicy.yaml',
    generate: () => yamlText('agent/policy/schema.ts', policyCustomResourceDefinition()),
  },
  {
    path: 'manifests/crds/nodesysctlstatus.yaml',
    generate: () => yamlText('agent/cluster/status-schema.ts', statusCustomResourceDefinition()),
  },
  {
    path: 'docs/policy.md',
    generate: (present) => betweenMarkers(present ?? '', 'policy-fields', policyFieldTable()),
  },
  {
    path: 'docs/metrics.md',
    generate: (present) => betweenMarkers(present ?? '', 'metrics', metricTable()),
  },
  {
    path: 'manifests/prometheus/prometheusrule.yaml',
    generate: () => yamlText('manifests/prometheus/rules.yaml', prometheusRule()),
  },
];

/** The files whose text is not what their sources generate, each with the text that it should have. */
export async function staleFiles(): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const stale = [];
  for (const { path, generate } of generatedFiles) {
    const file = new URL(path, repository);
    const present = await readFile(file, 'utf8').catch(() => null);
    const config = await resolveConfig(file);
    const text = await format(generate(present), { ...config, filepath: path });
    if (text !== present) stale.push({ path, text });
  }
  return stale;
}

/** The rules as the Prometheus operator takes them. */
function prometheusRule(): object {
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'kubelet-sysctl-agent', labels: { 'app.kubernetes.io/name': 'kubelet-sysctl-agent' } },
    spec: parse(readFileSync(new URL('manifests/prometheus/rules.yaml', repository), 'utf8')) as object,
  };
}

const repository = new URL('../', import.meta.url);

function yamlText(source: string, value: object): string {
  const header = `# Generated from ${source} by scripts/generate.ts. Do not edit.\n`;
  return header + stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function betweenMarkers(text: string, name: string, content: string): string {
  const begin = `<!-- generated: ${name} -->`;
  const end = `<!-- end of generated: ${name} -->`;
  const [before, rest] = text.split(begin);
  const [, after] = (rest ?? '').split(end);
  if (before === undefined || after === undefined) throw new Error(`no ${begin} … ${end} in the text`);
  return `${before}${begin}\n\n${content}\n\n${end}${after}`;
}

if (import.meta.main) {
  const stale = await staleFiles();
  const check = process.argv.includes('--check');
  for (const { path, text } of stale) {
    if (!check) await writeFile(new URL(path, repository), text);
    process.stdout.write(check ? `${path} is not what its sources generate\n` : `wrote ${path}\n`);
  }
  if (check && stale.length > 0) process.exitCode = 1;
}
