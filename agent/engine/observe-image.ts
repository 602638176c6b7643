import type { HostFiles, ListedFile } from '../host/files.ts';
import type { LoadedCommand, LoadedUnit } from '../plan/observed.ts';
import { type EffectiveCommand, readUnit } from '../unit-file/effective.ts';
import { argvOf } from '../unit-file/exec.ts';
import { splitWords } from '../unit-file/expand.ts';
import { dropInPaths, fragmentPath } from '../unit-file/load-order.ts';

/** The unit as a systemd booted from these files would load it. Nothing in it says anything of a process. */
export async function readImageUnit(files: HostFiles, name: string): Promise<LoadedUnit | undefined> {
  const list = new Listings(files);
  const fragment = await list.settle((cached) => fragmentPath(name, cached));
  if (fragment === undefined) return undefined;
  const dropIns = await list.settle((cached) => dropInPaths([name], cached));
  const sources = [];
  for (const path of [fragment.path, ...dropIns]) {
    const text = await textOf(files, path);
    if (text !== undefined) sources.push({ path, text });
  }
  const unit = readUnit(sources);
  const refused = unit.problems.find(({ effect }) => effect === 'unitRefused');
  const commands = (key: string): readonly LoadedCommand[] => unit.commands(key).map(loaded);
  return {
    id: name,
    names: [name],
    loadState: fragment.masked ? 'masked' : refused === undefined ? 'loaded' : 'bad-setting',
    loadError:
      refused === undefined ? '' : `${refused.origin.path} line ${refused.origin.line}: ${refused.reason}`,
    activeState: 'inactive',
    subState: 'dead',
    fragmentPath: fragment.path,
    dropInPaths: dropIns,
    needDaemonReload: false,
    unitFileState: '',
    invocationId: '',
    jobQueued: false,
    mayRestart: true,
    startLimitBurst: 0,
    startLimitIntervalMs: 0,
    type: unit.last('Service', 'Type')?.value ?? 'simple',
    restart: unit.last('Service', 'Restart')?.value ?? 'no',
    restartMs: 0,
    startTimeoutMs: 0,
    killMode: unit.last('Service', 'KillMode')?.value ?? 'control-group',
    mainPid: 0,
    nRestarts: 0,
    mainStartedAtMs: 0,
    execStart: commands('ExecStart'),
    execStartPre: commands('ExecStartPre'),
    execStop: commands('ExecStop'),
    execStopPost: commands('ExecStopPost'),
    environment: unit.all('Service', 'Environment').flatMap(({ value }) => splitWords(value)),
    environmentFiles: unit.all('Service', 'EnvironmentFile').map(({ value }) => ({
      path: withUnitName(value.replace(/^-/, ''), name),
      optional: value.startsWith('-'),
    })),
    settings: {},
  };
}

/** A mask, a directory or a dangling link in place of a drop-in reads as nothing; so does what is no text. */
async function textOf(files: HostFiles, path: string): Promise<string | undefined> {
  try {
    return (await files.read(path))?.text;
  } catch {
    return undefined;
  }
}

/** The specifiers that name the unit itself; all others depend on the machine. */
function withUnitName(path: string, unit: string): string {
  const name = unit.slice(0, unit.lastIndexOf('.'));
  return path.replaceAll(/%([%nNp])/g, (_, letter: string) =>
    letter === '%' ? '%' : letter === 'n' ? unit : name,
  );
}

function loaded(effective: EffectiveCommand): LoadedCommand {
  const { prefixes, words } = effective.command;
  return {
    path: words[0]?.text ?? '',
    argv: argvOf(effective.command),
    flags: [
      ...(prefixes.includes('-') ? ['ignore-failure'] : []),
      ...(prefixes.includes(':') ? ['no-env-expand'] : []),
    ],
  };
}

/** Directory listings for rules that ask for them without waiting: asked again until every answer is there. */
class Listings {
  private readonly files: HostFiles;
  private readonly known = new Map<string, readonly ListedFile[]>();

  constructor(files: HostFiles) {
    this.files = files;
  }

  async settle<T>(rule: (list: (directory: string) => readonly ListedFile[]) => T): Promise<T> {
    for (;;) {
      const missing = new Set<string>();
      const result = rule((directory) => {
        const entries = this.known.get(directory);
        if (entries === undefined) missing.add(directory);
        return entries ?? [];
      });
      if (missing.size === 0) return result;
      for (const directory of missing) this.known.set(directory, await this.files.list(directory));
    }
  }
}
