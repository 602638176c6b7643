import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object as it stands in a file. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export const repository = fileURLToPath(new URL('../../../', import.meta.url));
export const manifests = path.join(repository, 'manifests');

/** All documents of a text. @throws Error naming the source for a text that is no YAML. */
export function documentsOf(text: string, source: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw new Error(`${source}: ${problem.message}`);
    return document.toJS() as Manifest;
  });
}

/** Every YAML file below a directory, relative to it. */
export function yamlFilesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .sort();
}

export function readManifests(file: string): readonly Manifest[] {
  return documentsOf(readFileSync(path.join(manifests, file), 'utf8'), file);
}

/** Why nothing can be rendered here, or undefined where a kubectl with kustomize is on the PATH. */
export async function whyNoKustomize(): Promise<string | undefined> {
  try {
    await promisify(execFile)('kubectl', ['kustomize', path.join(manifests, 'parts/namespace')]);
    return undefined;
  } catch {
    return 'needs kubectl 1.21 or newer on the PATH, for its kustomize';
  }
}

/** What `kubectl apply -k` would send. @throws Error when kustomize refuses it or warns. */
export async function render(directory: string): Promise<readonly Manifest[]> {
  const { stdout, stderr } = await promisify(execFile)(
    'kubectl',
    ['kustomize', path.join(manifests, directory)],
    {
      maxBuffer: 16 * 1024 * 1024,
    },
  );
  if (stderr !== '') throw new Error(`kubectl kustomize ${directory}: ${stderr}`);
  return documentsOf(stdout, directory);
}

export function nameOf({ apiVersion, kind, metadata }: Manifest): string {
  return `${apiVersion} ${kind} ${metadata.namespace ?? ''}/${metadata.name ?? metadata.generateName ?? ''}`;
}

/** The one object of a kind (and name). @throws Error when there is none or several. */
export function only(objects: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  const [first] = found;
  if (first === undefined || found.length > 1)
    throw new Error(`${found.length} objects are a ${kind} ${name ?? ''}`);
  return first;
}
