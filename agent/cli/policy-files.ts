import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Problem } from '../errors.ts';
import type { PolicyFile } from '../policy/read.ts';

export interface FoundPolicyFiles {
  readonly files: readonly PolicyFile[];
  readonly problems: readonly Problem[];
}

/**
 * The texts of policy files and of directories of them (`*.yaml`, `*.yml`, `*.json`, by name). Names that begin with a
 * dot are left out: a mounted ConfigMap keeps its own `..data` links beside the files. Never throws.
 */
export async function readPolicyFiles(paths: readonly string[]): Promise<FoundPolicyFiles> {
  const files: PolicyFile[] = [];
  const problems: Problem[] = [];
  for (const named of paths) {
    try {
      for (const file of await filesOf(named)) files.push({ path: file, text: await readFile(file, 'utf8') });
    } catch (error) {
      problems.push({
        code: 'POLICY_UNREADABLE',
        message: `${named} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        where: { file: named },
        next: 'name a policy file, or a directory that holds some',
      });
    }
  }
  return { files, problems };
}

async function filesOf(named: string): Promise<readonly string[]> {
  if (!(await stat(named)).isDirectory()) return [named];
  const names = (await readdir(named)).filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name)).sort();
  if (names.length === 0) throw new Error('the directory holds no *.yaml, *.yml or *.json');
  return names.map((name) => path.join(named, name));
}
