import { sameEntries } from '../kubelet/allowlist.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parse } from '../unit-file/parse.ts';
import { readUnit } from '../unit-file/effective.ts';
import { type KubeletCommand, readCommand } from './command-line.ts';
import { editFlag } from './flag-edit.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

/** Sorts behind every usual name, because the last ExecStart= wins. */
export const dropInName = 'zz-kubelet-sysctl-agent.conf';

/** Where systemd looks for units of the system; it gives the names of drop-ins with links of directories followed. */
const unitDirectories = /^\/(etc|run|(usr\/)?lib|usr\/local\/lib)\/systemd\//;

const header = `# Written by kubelet-sysctl-agent: the kubelet's own command line and one flag more.
# Made anew when the command below it changes; "kubelet-sysctl-agent rollback" takes it away.
`;

export function dropInPath(unitName: string): string {
  return `/etc/systemd/system/${unitName}.d/${dropInName}`;
}

/** A drop-in of our own: ExecStart= reset, then the command as it is written below us, with the flag. */
export function placeInDropIn(observed: ObservedNode, command: KubeletCommand, wanted: Wanted): Proposal {
  const path = dropInPath(observed.unit?.id ?? observed.unitName);
  const linked = observed.unit?.dropInPaths.find((dropIn) => !unitDirectories.test(dropIn));
  if (linked !== undefined) {
    return impossible(
      `systemd reads ${linked}: ${path.slice(0, path.lastIndexOf('/'))} is a link to that directory, which is somebody else's`,
      'make it a directory of its own with a link to each file, or use another placement',
    );
  }
  const ours = observed.unitFiles.find((file) => file.path === path);
  const below = belowUs(observed, command, path);
  if (below === undefined)
    return impossible(
      `nothing below ${path} says what to start`,
      'remove that file, reload systemd and try again',
    );

  const node = parse(below.holder.text).nodes[below.written.origin.nodeIndex];
  if (node?.kind !== 'assignment')
    return impossible(`${below.holder.path} cannot be read`, 'write its ExecStart= in a plainer way');
  const eol = node.source.includes('\r\n') ? '\r\n' : '\n';
  const copy = `${header}[Service]\nExecStart=\n${node.source}${/[\r\n]$/.test(node.source) ? '' : eol}`;

  const withoutOurs = inForce(below.flagEntries, wanted.withoutFlag);
  if (wanted.exact && ours !== undefined && sameEntries(wanted.entries, withoutOurs)) {
    return {
      ok: true,
      kind: 'DropIn',
      path,
      files: [{ path, before: ours, after: null }],
      reload: true,
      commandAfter: below.loaded,
      commandBelow: below.loaded,
      dropIns: [],
    };
  }
  const edit = editFlag(copy, path, below, wanted);
  if (!edit.ok) return edit;
  const winner = winnerWith(observed, path, edit.text);
  if (winner !== path) {
    return impossible(
      `${winner ?? 'nothing'} is read after ${path} and sets ExecStart= again`,
      `rename that file so that it sorts before ${dropInName}, or use placement: Unit`,
    );
  }
  return {
    ok: true,
    kind: 'DropIn',
    path,
    files: [{ path, before: ours ?? null, after: edit.text }],
    reload: true,
    commandAfter: edit.commandAfter,
    commandBelow: below.loaded,
    dropIns: [path],
  };
}

/** The command as it would be without our drop-in. */
function belowUs(observed: ObservedNode, command: KubeletCommand, path: string): KubeletCommand | undefined {
  if (command.holder.path !== path) return command;
  const others = observed.unitFiles.filter((file) => file.path !== path);
  const written = readUnit(others).commands('ExecStart').at(-1);
  const unit = observed.unit;
  if (written === undefined || unit === undefined) return undefined;
  const words = written.command.prefixes.includes('@')
    ? written.command.words.slice(1)
    : written.command.words;
  // Specifiers were filled in by systemd in our copy of the same words.
  const argv = words.map((word, index) =>
    word.hasSpecifier ? (command.loaded.argv[index] ?? word.text) : word.text,
  );
  const execStart = [{ ...command.loaded, argv }];
  const reading = readCommand({ ...observed, unit: { ...unit, execStart }, unitFiles: others });
  return reading.ok ? reading.command : undefined;
}

function winnerWith(observed: ObservedNode, path: string, text: string): string | undefined {
  const [fragment, ...dropIns] = observed.unitFiles.filter((file) => file.path !== path);
  const sorted = [
    ...dropIns.map((file: ObservedFile) => ({ path: file.path, text: file.text })),
    { path, text },
  ].sort(byFileName);
  return readUnit([...(fragment === undefined ? [] : [fragment]), ...sorted])
    .commands('ExecStart')
    .at(-1)?.origin.path;
}

/** systemd sorts drop-ins of all directories together, by the bytes of the file name. */
function byFileName(a: { readonly path: string }, b: { readonly path: string }): number {
  const [left, right] = [
    a.path.slice(a.path.lastIndexOf('/') + 1),
    b.path.slice(b.path.lastIndexOf('/') + 1),
  ];
  return left < right ? -1 : left > right ? 1 : 0;
}
