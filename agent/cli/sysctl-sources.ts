import type { HostFiles } from '../host/files.ts';
import {
  sourceOf,
  sysctlConf,
  sysctlDirectories,
  type SysctlFile,
  type SysctlSource,
} from '../sysctl/sysctl-d.ts';

/** Which line of sysctl.d sets each sysctl at boot. Files that cannot be read are left out. */
export async function sysctlSources(
  files: HostFiles,
  names: readonly string[],
): Promise<ReadonlyMap<string, SysctlSource>> {
  const sources = new Map<string, SysctlSource>();
  if (names.length === 0) return sources;
  const texts: SysctlFile[] = [];
  for (const path of [...(await configurationFiles(files)), sysctlConf]) {
    const file = await files.read(path).catch(() => undefined);
    if (file !== undefined) texts.push({ path, text: file.text });
  }
  for (const name of names) {
    const source = sourceOf(name, texts);
    if (source !== undefined) sources.set(name, source);
  }
  return sources;
}

async function configurationFiles(files: HostFiles): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const directory of sysctlDirectories) {
    const listed = await files.list(directory).catch(() => []);
    paths.push(
      ...listed.filter(({ name }) => name.endsWith('.conf')).map(({ name }) => `${directory}/${name}`),
    );
  }
  return paths;
}
