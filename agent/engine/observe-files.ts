import type { HostFiles } from '../host/files.ts';
import { classifyCommand } from '../kubelet/command.ts';
import { readFlag } from '../kubelet/flag.ts';
import { argumentsFileOf, rancherConfigPath } from '../kubelet/layouts.ts';
import type { EnvironmentFileRef, ObservedFile } from '../plan/observed.ts';

type Read = (path: string) => Promise<ObservedFile | undefined>;

/** The unit's EnvironmentFiles in their order, patterns filled in. A missing one without `-` would stop the next start. */
export async function readEnvironmentFiles(
  files: HostFiles,
  references: readonly EnvironmentFileRef[],
  read: Read,
): Promise<{ files: readonly ObservedFile[]; missing: readonly { path: string; reason: string }[] }> {
  const found: ObservedFile[] = [];
  const missing: { path: string; reason: string }[] = [];
  for (const reference of references) {
    const paths = await matching(files, reference.path);
    const texts: ObservedFile[] = [];
    for (const path of paths) {
      const file = await read(path);
      if (file !== undefined) texts.push(file);
    }
    if (texts.length === 0 && !reference.optional) {
      missing.push({ path: reference.path, reason: 'the unit needs it to start, and it is not there' });
    }
    found.push(...texts);
  }
  return { files: found, missing };
}

/** The files of `--config` and `--config-dir` that this command line names. */
export async function kubeletConfigFiles(
  files: HostFiles,
  args: readonly string[],
  read: Read,
): Promise<{ main: ObservedFile | undefined; dropIns: readonly ObservedFile[] }> {
  const main = readFlag(args, 'config');
  const directory = readFlag(args, 'config-dir')?.replace(/(.)\/+$/, '$1');
  return {
    main: main === undefined || !main.startsWith('/') ? undefined : await read(main),
    dropIns:
      directory === undefined || !directory.startsWith('/')
        ? []
        : await configDropIns(files, directory, read),
  };
}

/** The files from which k3s, rke2 or microk8s takes its kubelet's arguments, in the order in which they count. */
export async function distributionFiles(
  files: HostFiles,
  program: string,
  argv: readonly string[],
  environment: ReadonlyMap<string, string>,
  read: Read,
): Promise<readonly ObservedFile[]> {
  const kind = classifyCommand(program, argv);
  const place = kind.kind === 'distribution' ? argumentsFileOf(kind.name) : undefined;
  if (place === undefined) return [];
  const main = place.kind === 'rancher' ? rancherConfigPath(place, argv, environment) : place.path;
  const paths = [main];
  if (place.kind === 'rancher') {
    const names = (await files.list(`${main}.d`))
      .filter(({ name, kind: entry }) => entry !== 'directory' && /\.ya?ml$/i.test(name))
      .map(({ name }) => name);
    paths.push(...names.sort().map((name) => `${main}.d/${name}`));
  }
  const found: ObservedFile[] = [];
  for (const path of paths) {
    const file = await read(path);
    if (file !== undefined) found.push(file);
  }
  return found;
}

async function configDropIns(
  files: HostFiles,
  directory: string,
  read: Read,
): Promise<readonly ObservedFile[]> {
  const found: ObservedFile[] = [];
  for (const entry of await files.list(directory)) {
    const path = `${directory}/${entry.name}`;
    if (entry.kind === 'directory') found.push(...(await configDropIns(files, path, read)));
    else if (entry.name.endsWith('.conf')) {
      const file = await read(path);
      if (file !== undefined) found.push(file);
    }
  }
  return found;
}

/** systemd takes glob(7) patterns; only ones in the file name are in use anywhere. */
async function matching(files: HostFiles, pattern: string): Promise<readonly string[]> {
  if (!/[*?[]/.test(pattern)) return [pattern];
  const slash = pattern.lastIndexOf('/');
  const directory = pattern.slice(0, slash);
  const name = new RegExp(
    `^${pattern
      .slice(slash + 1)
      .replaceAll(/[.+^${}()|\\]/g, '\\$&')
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]')}$`,
  );
  const entries = await files.list(directory);
  return entries
    .filter((entry) => name.test(entry.name))
    .map((entry) => `${directory}/${entry.name}`)
    .sort();
}
