import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from './atomic-write.ts';
import { resolveInRoot } from './resolve-in-root.ts';
import { stateDirectoryPath } from './private-files.ts';

/** What `run` must know again after a restart. Times are milliseconds since the epoch. */
export interface KeptDrift {
  readonly schema: 1;
  /** Hash of the policy that `heals` and `settled` belong to. */
  readonly policyHash: string;
  /** Since when each drift lasts, by `kind/name`. */
  readonly since: Readonly<Record<string, number>>;
  readonly heals: { readonly kubelet: readonly number[]; readonly sysctls: readonly number[] };
  readonly settled: readonly ('kubelet' | 'sysctls')[];
}

export interface DriftFile {
  /** Undefined where there is none, or none that this version wrote: then drift began when it is seen. */
  read(): Promise<KeptDrift | undefined>;
  /** @throws the system's error; the old file is whole then. */
  write(kept: KeptDrift): Promise<void>;
}

/** `drift.json` in the state directory, which must exist. */
export function driftFile(root: string): DriftFile {
  const file = async (): Promise<string> =>
    path.join(await resolveInRoot(root, stateDirectoryPath), 'drift.json');
  return {
    async read() {
      try {
        return decode(JSON.parse(await readFile(await file(), 'utf8')));
      } catch {
        return undefined;
      }
    },
    async write(kept) {
      await writeAtomically(await file(), Buffer.from(`${JSON.stringify(kept)}\n`), {
        mode: 0o600,
        uid: 0,
        gid: 0,
      });
    },
  };
}

function decode(value: unknown): KeptDrift | undefined {
  if (!isRecord(value) || value['schema'] !== 1 || typeof value['policyHash'] !== 'string') return undefined;
  const { since, heals, settled } = value;
  if (!isRecord(since) || !isRecord(heals) || !Array.isArray(settled)) return undefined;
  return {
    schema: 1,
    policyHash: value['policyHash'],
    since: Object.fromEntries(
      Object.entries(since).filter((pair): pair is [string, number] => typeof pair[1] === 'number'),
    ),
    heals: { kubelet: numbers(heals['kubelet']), sysctls: numbers(heals['sysctls']) },
    settled: (['kubelet', 'sysctls'] as const).filter((subject) => settled.includes(subject)),
  };
}

function numbers(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.filter((item): item is number => typeof item === 'number') : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
