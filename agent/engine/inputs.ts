import { AgentError } from '../errors.ts';
import type { HostFiles } from '../host/files.ts';
import type { ObservedFile, ObservedNode } from '../plan/observed.ts';
import type { Plan } from '../plan/plan.ts';

/** A file as it was when the plan was made. */
export interface TransactionInput {
  readonly path: string;
  readonly sha256: string;
}

/** What the kubelet reads at its next start, apart from what the plan writes. */
export function inputsOf(observed: ObservedNode, plan: Plan): readonly TransactionInput[] {
  const written = new Set(plan.files.map(({ path }) => path));
  const read: readonly (ObservedFile | undefined)[] = [
    ...observed.unitFiles,
    ...observed.environmentFiles,
    observed.kubeletConfig,
    ...observed.kubeletConfigDropIns,
    ...(observed.distributionFiles ?? []),
  ];
  return read
    .filter((file) => file !== undefined)
    .filter((file) => !written.has(file.path) && !written.has(file.realPath))
    .map(({ path, sha256 }) => ({ path, sha256 }));
}

/**
 * Looks a last time before the restart: an edit since the plan was made would come into force with it, and no
 * roll-back of ours could undo that. @throws AgentError FILE_CHANGED.
 */
export async function stillAsPlanned(files: HostFiles, inputs: readonly TransactionInput[]): Promise<void> {
  for (const { path, sha256 } of inputs) {
    const now = await files.read(path).catch(() => undefined);
    if (now?.sha256 === sha256) continue;
    throw new AgentError(
      'FILE_CHANGED',
      `${path} was ${now === undefined ? 'removed' : 'changed'} by somebody else meanwhile: a restart would bring that into force as well`,
    );
  }
}
