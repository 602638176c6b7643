import type { HostFiles, ListedFile } from '../host/files.ts';
import type { ObservedFile, ObservedNode } from '../plan/observed.ts';
import { sysctlConf, sysctlDirectories, type SysctlFile } from '../sysctl/sysctl-d.ts';
import { readImageUnit } from './observe-image.ts';

/**
 * Fragment and drop-ins as a systemd that booted now would read them, whatever the running one has loaded. Undefined
 * where that cannot be told: one of them is no text, vanished under our eyes, or the unit is masked or gone.
 */
export async function readUnitOnDisk(
  files: HostFiles,
  observed: ObservedNode,
): Promise<readonly ObservedFile[] | undefined> {
  if (observed.mode === 'image') return observed.unitFiles;
  try {
    const unit = await readImageUnit(files, observed.unit?.id || observed.unitName);
    if (unit === undefined || unit.loadState === 'masked') return undefined;
    const found = await Promise.all(
      [unit.fragmentPath, ...unit.dropInPaths].map(async (path) => files.read(path)),
    );
    return found.filter((file) => file !== undefined);
  } catch {
    return undefined;
  }
}

/** Every file that sets sysctls at boot; those that cannot be read are left out. */
export async function readSysctlFiles(files: HostFiles): Promise<readonly SysctlFile[]> {
  const found: SysctlFile[] = [];
  for (const directory of sysctlDirectories) {
    const listed = await files.list(directory).catch((): readonly ListedFile[] => []);
    for (const entry of listed.filter(({ name }) => name.endsWith('.conf'))) {
      const path = `${directory}/${entry.name}`;
      // A mask hides the file of the same name in a weaker directory.
      if (entry.kind === 'symlink' && entry.target === '/dev/null') found.push({ path, text: '' });
      else found.push(...(await textOf(files, path)));
    }
  }
  return [...found, ...(await textOf(files, sysctlConf))];
}

async function textOf(files: HostFiles, path: string): Promise<readonly SysctlFile[]> {
  const file = await files.read(path).catch(() => undefined);
  return file === undefined ? [] : [{ path, text: file.text }];
}
