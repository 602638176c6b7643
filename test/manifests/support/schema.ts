import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { nameOf, repository, type Manifest } from './documents.ts';

/**
 * What the published Kubernetes schemas say against objects: types, enums, required fields by the validators of
 * kubernetes-models, unknown fields by the compiler, from the types of the same package. Empty: nothing.
 */
export async function complaints(objects: readonly Manifest[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const object of objects) {
    const complaint = await validate(object);
    if (complaint !== undefined) found.push(`${nameOf(object)}: ${complaint}`);
  }
  return [...found, ...(await unknownFields(objects))];
}

interface Model {
  validate(): void;
}

async function validate(object: Manifest): Promise<string | undefined> {
  const module = (await import(`kubernetes-models/${moduleOf(object)}`)) as Record<
    string,
    (new (data: unknown) => Model) | undefined
  >;
  const Kind = module[object.kind];
  if (Kind === undefined) return 'no such kind';
  try {
    new Kind(object).validate();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

async function unknownFields(objects: readonly Manifest[]): Promise<readonly string[]> {
  const directory = path.join(repository, '.work', 'manifests', String(process.pid));
  mkdirSync(directory, { recursive: true });
  const lines = objects.map(
    (object, index) =>
      `import type { I${object.kind} as T${index} } from 'kubernetes-models/${moduleOf(object)}';\n` +
      // One line each, so that the compiler's line number names the object.
      `export const o${index}: T${index} = ${JSON.stringify(object)};`,
  );
  const file = path.join(directory, 'objects.ts');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const options = [
    '--noEmit',
    '--ignoreConfig',
    '--strict',
    '--skipLibCheck',
    '--target',
    'ES2024',
    '--module',
    'NodeNext',
    '--types',
    '',
  ];
  try {
    // Through env, because tap puts its loaders into every Node it sees started, and the compiler does not survive them.
    await promisify(execFile)('env', ['NODE_OPTIONS=', 'tsc', ...options, '--pretty', 'false', file], {
      cwd: repository,
    });
    return [];
  } catch (error) {
    const output =
      typeof error === 'object' && error !== null && 'stdout' in error ? String(error.stdout) : '';
    if (!output.includes('error TS')) throw error;
    return output
      .split('\n')
      .filter((line) => line.includes('error TS'))
      .map((line) => {
        const at = Number(/\((\d+),/.exec(line)?.[1] ?? 0);
        const object = objects[Math.floor((at - 1) / 2)];
        return `${object === undefined ? '' : nameOf(object)}: ${line.replace(/^.*error /, '')}`;
      });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function moduleOf({ apiVersion }: Manifest): string {
  return apiVersion;
}
