import { unite } from '../kubelet/allowlist.ts';
import { classifyCommand, classifyProcess, type CommandKind } from '../kubelet/command.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readAllowlistFlag } from '../kubelet/flag.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import { readUnit } from '../unit-file/effective.ts';
import { argvOf } from '../unit-file/exec.ts';
import { provenArgsFrom } from './became-kubelet.ts';
import { expandArgv } from './command-line.ts';
import { distributionList } from './distribution.ts';
import type { LoadedUnit, ObservedFile, ObservedNode } from './observed.ts';

/** The allowlist as one layer has it. `holder` is the file that the command or the list comes from, where one does. */
export type LayerView =
  | { readonly kind: 'known'; readonly entries: readonly string[]; readonly holder: string | undefined }
  | { readonly kind: 'unknown'; readonly reason: string };

/** What the next boot would take; `files` are the unit's as they stand in the directories now. */
export function diskView(observed: ObservedNode, files: readonly ObservedFile[] | undefined): LayerView {
  if (files === undefined) return unknown('the unit directories were not read');
  const written = readUnit(files).commands('ExecStart');
  const [command] = written;
  if (command === undefined || written.length > 1) {
    return unknown(`the files of ${observed.unitName} hold ${written.length} ExecStart commands, not one`);
  }
  const { prefixes } = command.command;
  const argv = argvOf(command.command);
  const flags = prefixes.includes(':') ? ['no-env-expand'] : [];
  const path = command.command.words[0]?.text ?? '';
  return listOf(observed, path, expandArgv(observed, { path, argv, flags }), command.origin.path);
}

/** What a restart without a reload would take. */
export function loadedView(observed: ObservedNode): LayerView {
  const { unit } = observed;
  if (unit === undefined || unit.loadState !== 'loaded') {
    return unknown(`systemd has not loaded ${observed.unitName}: ${unit?.loadState ?? 'not-found'}`);
  }
  const [command] = unit.execStart;
  if (command === undefined || unit.execStart.length > 1) {
    return unknown(`${observed.unitName} has ${unit.execStart.length} ExecStart commands, not one`);
  }
  const holder = readUnit(observed.unitFiles).commands('ExecStart').at(-1)?.origin.path;
  return listOf(observed, command.path, expandArgv(observed, command), holder);
}

/** What the running kubelet took when it started. */
export function processView(observed: ObservedNode): LayerView {
  const { process, unit } = observed;
  if (process === undefined || unit === undefined) {
    return unknown(unit?.mainPid === 0 ? 'no kubelet is running' : 'the kubelet process cannot be looked at');
  }
  const [name = ''] = process.argv;
  const isNamed = classifyCommand(name, process.argv).kind === 'kubelet';
  // A script that became the kubelet may have kept its own name.
  const program = !isNamed && classifyProcess(process).kind === 'kubelet' ? process.executable : name;
  const [started] = unit.execStart;
  if (
    started !== undefined &&
    classifyCommand(started.path, started.argv).kind === 'distribution' &&
    classifyCommand(program, process.argv).kind !== 'kubelet'
  ) {
    // k3s and rke2 write over their own command line, and that of microk8s only names the file: the process does not
    // tell what its kubelet got, the files that it read at its start do.
    const edited = editedSince(unit, [
      ...observed.unitFiles,
      ...observed.environmentFiles,
      ...(observed.distributionFiles ?? []),
    ]);
    return edited ?? loadedView(observed);
  }
  const view = listOf(observed, program, process.argv, undefined);
  if (view.kind === 'unknown' || view.holder === undefined) return view;
  // Without the flag the list is the one that stood in the files when the kubelet started.
  const files = [observed.kubeletConfig, ...observed.kubeletConfigDropIns];
  return (
    editedSince(
      unit,
      files.filter((file) => file !== undefined),
    ) ?? view
  );
}

/** Unknown where a file is younger than the kubelet: what stood in it before, nobody knows. */
function editedSince(unit: LoadedUnit, files: readonly ObservedFile[]): LayerView | undefined {
  const edited = files.find((file) => file.mtimeMs > unit.mainStartedAtMs + 1_000);
  return edited && unknown(`${edited.path} was changed after the kubelet started`);
}

/** The allowlist of one command line, with the files that it names or that its distribution reads. */
function listOf(
  observed: ObservedNode,
  path: string,
  argv: readonly string[],
  commandHolder: string | undefined,
): LayerView {
  const command = kindOf(observed, path, argv);
  if (command.kind === 'distribution') {
    const list = distributionList(observed, command, argv, commandHolder);
    if (!list.ok) return unknown(list.problem.message);
    return { kind: 'known', entries: unite(list.entries), holder: list.holder };
  }
  if (command.kind !== 'kubelet') return unknown(command.problem.message);
  const flag = readAllowlistFlag(argv.slice(command.argsFrom));
  if (!flag.ok) return unknown(flag.problem.message);
  if (flag.entries !== undefined)
    return { kind: 'known', entries: unite(flag.entries), holder: commandHolder };
  const version = parseKubeletVersion(observed.kubeletVersion ?? '');
  const config = readKubeletConfig(observed.kubeletConfig, observed.kubeletConfigDropIns, version);
  if (!config.ok) return unknown(config.problem.message);
  const entries = inForce(undefined, config.facts.allowedUnsafeSysctls);
  return { kind: 'known', entries, holder: config.listFrom ?? commandHolder };
}

/** What a command starts; a program that has become the kubelet counts as one. */
function kindOf(observed: ObservedNode, path: string, argv: readonly string[]): CommandKind {
  const kind = classifyCommand(path, argv);
  if (kind.kind !== 'wrapper') return kind;
  const argsFrom = provenArgsFrom(observed, { path, argv, flags: [] }, argv);
  return argsFrom === undefined ? kind : { kind: 'kubelet', executable: path, argsFrom };
}

function unknown(reason: string): LayerView {
  return { kind: 'unknown', reason };
}
