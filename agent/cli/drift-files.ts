import { readImageUnit } from '../engine/observe-image.ts';
import type { HostFiles } from '../host/files.ts';
import type { ObservedFile } from '../plan/observed.ts';
import { sysctlConf, sysctlDirectories, type SysctlFile } from '../sysctl/sysctl-d.ts';

/** Fragment and drop-ins as a systemd that booted now would read them; undefined where one of them cannot be read. */
export async function unitFilesOnDisk(
  files: HostFiles,
  unit: string,
): Promise<readonly ObservedFile[] | undefined> {
  try {
    const found = await readImageUnit(files, unit);
    const paths = found === undefined ? [] : [found.fragmentPath, ...found.dropInPaths];
    return (await Promise.all(paths.map(async (path) => files.read(path)))).filter(
      (file) => file !== undefined,
    );
  } catch {
    return undefined;
  }
}

/** Every file that sets sysctls at boot. Those that cannot be read are left out. */
export async function sysctlFilesOf(files: HostFiles): Promise<readonly SysctlFile[]> {
  const paths: string[] = [];
  for (const directory of sysctlDirectories) {
    const listed = await files.list(directory).catch(() => []);
    paths.push(
      ...listed.filter(({ name }) => name.endsWith('.conf')).map(({ name }) => `${directory}/${name}`),
    );
  }
  const read = await Promise.all(
    [...paths, sysctlConf].map(async (path) => files.read(path).catch(() => undefined)),
  );
  return read.filter((file) => file !== undefined);
}
