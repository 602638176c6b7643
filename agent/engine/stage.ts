import type { HostFiles } from '../host/files.ts';
import type { Plan } from '../plan/plan.ts';
import { toProcPath } from '../sysctl/names.ts';
import type { Journal } from '../transaction/journal.ts';
import {
  previousPath,
  scriptOf,
  watchdogCommand,
  watchdogName,
  watchdogNames,
  watchdogScript,
  writingMark,
} from '../transaction/watchdog.ts';
import { installGuard } from './guard.ts';
import type { HostPorts } from './ports.ts';

const rootOnly = { mode: 0o600, uid: 0, gid: 0 };

/** Saves what is about to be replaced, then the journal that says so: all of it flushed before the first effect. */
export async function stage({ files, state }: HostPorts, journal: Journal): Promise<void> {
  for (const [index, file] of journal.plan.files.entries()) {
    if (file.before === null) continue;
    await state.saveBackup(journal.id, String(index), file.before.text, file.before);
    await files.keepPrevious(file.path, previousPath(file.path));
  }
  const script = watchdogScript(scriptOf(journal, state.backupPath(journal.id), toProcPath));
  await state.saveBackup(journal.id, 'restore.sh', script, { ...rootOnly, mode: 0o700 });
  await state.writeJournal(journal);
}

/** Lets the host itself take the change back from now on, unless it is committed in time. */
export async function arm({ files, state, systemd }: HostPorts, journal: Journal): Promise<void> {
  const directory = state.backupPath(journal.id);
  await state.arm(journal.id);
  await installGuard(files, directory, state.hostPath, journal.plan.unit);
  for (const name of watchdogNames) await systemd.stopTimer(name);
  await systemd.startTimer({
    name: watchdogName,
    description: `Puts back the files of ${journal.plan.unit} unless transaction ${journal.id} is committed`,
    afterMs: journal.watchdogAfterMs,
    command: watchdogCommand(directory),
  });
}

/** Says, flushed, that from now on files of the node may be the new ones. */
export async function markWriting({ state }: HostPorts, journal: Journal): Promise<void> {
  await state.saveBackup(journal.id, writingMark, '', rootOnly);
}

/** Whether `markWriting` was reached. */
export async function wasWriting({ files, state }: HostPorts, journal: Journal): Promise<boolean> {
  return files.exists(`${state.backupPath(journal.id)}/${writingMark}`);
}

/** Directories that are not there yet and that the files of a plan need; the innermost first. */
export async function directoriesToMake(files: HostFiles, plan: Plan): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (const { path, after } of plan.files) {
    if (after === null) continue;
    for (
      let parent = parentOf(path);
      parent !== '' && !(await files.exists(parent));
      parent = parentOf(parent)
    )
      missing.add(parent);
  }
  return [...missing].sort((a, b) => b.length - a.length);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
