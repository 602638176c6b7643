import { AgentError, problemOf } from '../errors.ts';
import type { HostFiles } from '../host/files.ts';
import type { Healthz } from '../host/healthz.ts';
import type { KubeletProcess } from '../host/kubelet-process.ts';
import type { RunningPods } from '../host/running-pods.ts';
import type { Sysctls } from '../host/sysctls.ts';
import type { Systemd } from '../host/systemd.ts';
import { classifyProcess } from '../kubelet/command.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readFlag } from '../kubelet/flag.ts';
import { kernelDefaults } from '../kubelet/kernel-defaults.ts';
import { environmentOf } from '../plan/command-line.ts';
import type {
  LoadedUnit,
  ObservedFile,
  ObservedHealth,
  ObservedNode,
  ObservedProcess,
  ObservedReading,
} from '../plan/observed.ts';
import { sysctlFilePath } from '../plan/sysctl-plan.ts';
import { expandVariables } from '../unit-file/expand.ts';
import { distributionFiles, kubeletConfigFiles, readEnvironmentFiles } from './observe-files.ts';
import { readMarks } from './observe-marks.ts';
import { observeStartConditions } from './observe-start.ts';
import { findUnit } from './observe-unit.ts';

/** What an observation looks through; `systemd` is undefined for an image that nothing runs in. */
export interface ObservationPorts {
  readonly files: HostFiles;
  readonly systemd: Systemd | undefined;
  readonly sysctls: Sysctls;
  readonly process: (pid: number) => KubeletProcess | undefined;
  readonly kubeletVersion: (executable: string, argvPrefix: readonly string[]) => Promise<string | undefined>;
  readonly kernelRelease: () => string;
  readonly healthz: (address: string, port: number) => Promise<Healthz>;
  readonly runningPods: () => Promise<RunningPods>;
}

export interface ObservationRequest {
  readonly unit: string;
  /** Normalised names whose values are wanted. */
  readonly sysctls: readonly string[];
}

/** Looks at the whole node once. Touches nothing; what cannot be learnt is left undefined or named. */
export async function observeNode(
  ports: ObservationPorts,
  request: ObservationRequest,
): Promise<ObservedNode> {
  const { files, systemd } = ports;
  const unreadable: { path: string; reason: string }[] = [];
  const marks: Record<string, string> = {};
  const read = async (path: string): Promise<ObservedFile | undefined> => {
    try {
      return await files.read(path);
    } catch (error) {
      const problem = problemOf(error);
      // A link to /dev/null masks a drop-in, and a directory in its place is passed over: both read as nothing.
      if (problem.code === 'FILE_UNSAFE') marks[path] = 'directory';
      else unreadable.push({ path, reason: problem.message });
      return undefined;
    }
  };

  const unit = await findUnit(files, systemd, request.unit);
  const unitFiles: ObservedFile[] = [];
  if (unit?.loadState === 'loaded') {
    for (const path of [unit.fragmentPath, ...unit.dropInPaths]) {
      if (path === '') continue;
      const file = await read(path);
      if (file !== undefined) unitFiles.push(file);
    }
  }
  const environment =
    unit === undefined
      ? { files: [], missing: [] }
      : await readEnvironmentFiles(files, unit.environmentFiles, read);
  unreadable.push(...environment.missing);
  const process = systemd === undefined || unit === undefined ? undefined : observedProcess(ports, unit);
  const systemdVersion = await systemd?.version();
  const variables = environmentOf({ unit, environmentFiles: environment.files, process, systemdVersion });
  // An image runs nothing: its command line is the one that its files give. `:` keeps systemd from expanding.
  const written = unit?.execStart[0];
  const words =
    written === undefined
      ? []
      : written.flags.includes('no-env-expand')
        ? written.argv
        : expandVariables(written.argv, variables).argv;
  const args = process?.argv ?? words;
  const config = await kubeletConfigFiles(files, args, read);
  const health = await observeHealth(ports, args, config, process !== undefined);
  // An image has no kernel: the values of the machine that looks at it say nothing of it.
  const reading =
    systemd === undefined
      ? { readings: new Map<string, ObservedReading>(), via: 'none' as const }
      : await ports.sysctls.read([
          ...new Set([...request.sysctls, ...kernelDefaults.map(({ name }) => name)]),
        ]);

  return {
    mode: systemd === undefined ? 'image' : 'running',
    root: files.root,
    unitName: request.unit,
    systemdVersion,
    ...(process === undefined ? {} : { startConditions: await observeStartConditions(files, args, config) }),
    etcWritable: await canWriteUnits(files),
    unit,
    unitFiles,
    environmentFiles: environment.files,
    kubeletConfig: config.main,
    kubeletConfigDropIns: config.dropIns,
    distributionFiles: await distributionFiles(files, written?.path ?? '', words, variables, read),
    process,
    kubeletVersion: await observedVersion(ports, process),
    kernelRelease: systemd === undefined ? undefined : ports.kernelRelease(),
    ...health,
    pods:
      systemd === undefined
        ? { kind: 'unknown', reason: 'nothing runs in an image' }
        : await observedPods(ports),
    sysctls: Object.fromEntries(reading.readings),
    sysctlsVia: systemd === undefined ? 'none' : reading.via,
    sysctlFile: await read(sysctlFilePath),
    marks: { ...marks, ...(await readMarks(files, written?.path, args)) },
    unreadable,
  };
}

/** NixOS links the directory of units into its read-only store, though /etc itself can be written. */
async function canWriteUnits(files: HostFiles): Promise<boolean> {
  const units = '/etc/systemd/system';
  return (
    (await files.isWritable('/etc')) && (!(await files.exists(units)) || (await files.isWritable(units)))
  );
}

function observedProcess(ports: ObservationPorts, unit: LoadedUnit): ObservedProcess | undefined {
  if (unit.mainPid === 0) return undefined;
  let found: KubeletProcess | undefined;
  try {
    found = ports.process(unit.mainPid);
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
  if (found === undefined) return undefined;
  const named = unit.execStart.flatMap(({ argv }) =>
    argv.flatMap((word) => [...word.matchAll(/\$\{?(\w+)/g)].map((match) => match[1] ?? '')),
  );
  const { environment } = found;
  const variables = Object.fromEntries(
    named.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
  return {
    pid: found.pid,
    argv: found.argv,
    executable: found.executable,
    executableDeleted: found.executableDeleted,
    variables,
  };
}

async function observedVersion(
  ports: ObservationPorts,
  process: ObservedProcess | undefined,
): Promise<string | undefined> {
  if (process === undefined) return undefined;
  const kind = classifyProcess(process);
  if (kind.kind !== 'kubelet') return undefined;
  // The running program itself, also when its file was replaced: its rules are the ones in force.
  return ports.kubeletVersion(`/proc/${process.pid}/exe`, process.argv.slice(1, kind.argsFrom));
}

async function observeHealth(
  ports: ObservationPorts,
  args: readonly string[],
  config: { readonly main: ObservedFile | undefined; readonly dropIns: readonly ObservedFile[] },
  running: boolean,
): Promise<{ health: ObservedHealth; healthz: { address: string; port: number } }> {
  const facts = readKubeletConfig(config.main, config.dropIns);
  const address =
    readFlag(args, 'healthz-bind-address') ?? (facts.ok ? facts.facts.healthzBindAddress : '127.0.0.1');
  const port = Number(readFlag(args, 'healthz-port') ?? (facts.ok ? facts.facts.healthzPort : 10248));
  const healthz = { address, port };
  if (!running) return { health: 'unknown', healthz };
  if (port === 0) return { health: 'off', healthz };
  const answer = await ports.healthz(address, port);
  return { health: answer.kind === 'timedOut' ? 'unknown' : answer.kind, healthz };
}

async function observedPods(ports: ObservationPorts): Promise<ObservedNode['pods']> {
  const running = await ports.runningPods();
  if (running.kind === 'unknown') return running;
  return {
    kind: 'known',
    from: running.runtime,
    pods: running.pods.map(({ namespace, name, sysctls }) => ({ namespace, name, sysctls })),
  };
}
