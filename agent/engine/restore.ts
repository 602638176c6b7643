import { AgentError } from '../errors.ts';
import { sha256 } from '../host/read-text.ts';
import type { FileChange, Plan } from '../plan/plan.ts';
import { sameValue } from '../sysctl/values.ts';
import type { Journal } from '../transaction/journal.ts';
import { previousPath } from '../transaction/watchdog.ts';
import type { HostPorts } from './ports.ts';

export interface RestoredFiles {
  /** Files that somebody else had changed after us; what they held is kept beside the backup. */
  readonly foreign: readonly string[];
  /** A file was put back: systemd and the kubelet may have read what stood there. */
  readonly replaced: boolean;
  /** The first thing that went wrong; the other files were put back all the same. */
  readonly failure: unknown;
}

/**
 * Puts the old files back, the last one first. Where none of them can have been replaced yet (`mayBeReplaced` is
 * false), what is neither the old nor the new text is somebody else's, and stays.
 */
export async function restoreFiles(
  host: HostPorts,
  journal: Journal,
  { mayBeReplaced }: { readonly mayBeReplaced: boolean },
): Promise<RestoredFiles> {
  const foreign: string[] = [];
  const failures: unknown[] = [];
  let replaced = false;
  for (const [index, file] of [...journal.plan.files.entries()].reverse()) {
    const restoring = restoreFile(host, journal, index, file, mayBeReplaced || replaced);
    const restored = await restoring.catch((error: unknown) => {
      failures.push(error);
      return 'replaced' as const;
    });
    if (restored !== 'untouched') replaced = true;
    if (restored === 'foreign') foreign.push(file.path);
  }
  return { foreign, replaced, failure: failures[0] };
}

async function restoreFile(
  { files, state }: HostPorts,
  journal: Journal,
  index: number,
  file: FileChange,
  mayBeReplaced: boolean,
): Promise<'untouched' | 'replaced' | 'foreign'> {
  const found = await files.read(file.path).catch(() => undefined);
  const text = found?.text ?? null;
  if (text === (file.before?.text ?? null)) return 'untouched';
  if (text !== file.after && !mayBeReplaced) {
    // We had not written yet: this is somebody else's edit, and nothing was started with it.
    await files.discard(previousPath(file.path));
    return 'untouched';
  }
  const isForeign = found !== undefined && found.text !== file.after;
  if (isForeign)
    await state.saveBackup(journal.id, `${index}.found`, found.text, found).catch(() => undefined);
  await putBack({ files }, file, text);
  return isForeign ? 'foreign' : 'replaced';
}

async function putBack(
  { files }: Pick<HostPorts, 'files'>,
  file: FileChange,
  found: string | null,
): Promise<void> {
  if (file.before === null) return files.discard(file.path);
  const kept = await files.read(previousPath(file.path)).catch(() => undefined);
  if (
    kept?.sha256 === sha256(file.before.text) &&
    (await files.restorePrevious(file.path, previousPath(file.path)))
  )
    return;
  await files.replace(file.path, file.before.text, file.before, found);
}

/** Writes the old kernel values back. @throws AgentError SYSCTL_WRITE_FAILED that names each that could not be. */
export async function restoreSysctls(
  { sysctls }: Pick<HostPorts, 'sysctls'>,
  { sysctlWrites }: Pick<Plan, 'sysctlWrites'>,
): Promise<void> {
  if (sysctlWrites.length === 0) return;
  const refused: string[] = [];
  const { readings } = await sysctls.read(sysctlWrites.map(({ name }) => name));
  for (const write of sysctlWrites) {
    const reading = readings.get(write.name);
    if (reading?.kind === 'value' && sameValue(reading.value, write.before)) continue;
    const result = await sysctls.write(write.name, write.before);
    if (result.kind === 'refused') refused.push(`${write.name}: ${result.reason}`);
  }
  if (refused.length > 0)
    throw new AgentError('SYSCTL_WRITE_FAILED', `could not put back ${refused.join('; ')}`);
}
