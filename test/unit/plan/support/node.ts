import type { ForceableCode } from '../../../../agent/errors.ts';
import { observeNode } from '../../../../agent/engine/observe.ts';
import { readImageUnit } from '../../../../agent/engine/observe-image.ts';
import type { HostFiles } from '../../../../agent/host/files.ts';
import type { KubeletProcess } from '../../../../agent/host/kubelet-process.ts';
import type { Systemd } from '../../../../agent/host/systemd.ts';
import { expandArgv } from '../../../../agent/plan/command-line.ts';
import { makePlan } from '../../../../agent/plan/make-plan.ts';
import type { LoadedUnit, ObservedNode } from '../../../../agent/plan/observed.ts';
import type { Plan, PlanOutcome } from '../../../../agent/plan/plan.ts';
import { mergeForNode, type NodePolicy } from '../../../../agent/policy/merge.ts';
import { missingUnit } from '../../../support/host/missing-unit.ts';
import { type MemoryEntry, memoryFiles } from './memory-files.ts';

export type Files = Readonly<Record<string, MemoryEntry>>;

export interface NodeSpec {
  readonly unit?: string;
  readonly version?: string;
  /** The running kubelet's argv; what the files give unless told. Null: nothing runs. */
  readonly argv?: readonly string[] | null;
  readonly executable?: string;
  readonly replaced?: boolean;
  readonly variables?: Readonly<Record<string, string>>;
  readonly readOnly?: readonly string[];
  readonly loaded?: Partial<LoadedUnit>;
  readonly node?: Partial<ObservedNode>;
}

export const startedAtMs = 10_000_000;
export const nowMs = startedAtMs + 3_600_000;

/** A healthy node whose systemd has loaded these files and whose kubelet runs with what they say. */
export async function runningNode(files: Files, spec: NodeSpec = {}): Promise<ObservedNode> {
  const host = memoryFiles(files, spec.readOnly);
  const loadedUnit = async (name: string): Promise<LoadedUnit> => {
    const unit = await readImageUnit(host, name);
    return {
      ...(unit ?? { ...missingUnit, id: name }),
      ...(unit === undefined ? {} : running),
      ...spec.loaded,
    };
  };
  const systemd = { version: async () => Promise.resolve(252), observe: loadedUnit };
  const still = await observe(host, systemd, spec, undefined);
  const command = still.unit?.execStart[0];
  const argv =
    spec.argv === undefined ? (command === undefined ? null : expandArgv(still, command)) : spec.argv;
  const observed = argv === null ? still : await observe(host, systemd, spec, argv);
  return { ...observed, ...spec.node };
}

/** The same files as an image in which nothing runs. */
export async function image(files: Files, spec: NodeSpec = {}): Promise<ObservedNode> {
  const observed = await observe(memoryFiles(files, spec.readOnly), undefined, spec, undefined);
  return { ...observed, ...spec.node };
}

/** A policy as the command line or a document gives it. */
export function policyOf(allowed: readonly string[], settings: Partial<NodePolicy> = {}): NodePolicy {
  const merged = mergeForNode([]);
  if (!merged.ok) throw new Error('no policy at all is a good policy');
  return { ...merged.policy, names: ['test'], allowedUnsafeSysctls: allowed, ...settings };
}

export function planFor(
  observed: ObservedNode,
  policy: NodePolicy,
  force: readonly ForceableCode[] = [],
): PlanOutcome {
  return makePlan(observed, policy, { force, nowMs });
}

/** The plan, or an error that says why there is none. */
export function changeOf(outcome: PlanOutcome): Plan {
  if (outcome.kind === 'change') return outcome.plan;
  throw new Error(`${outcome.kind}: ${outcome.kind === 'refused' ? JSON.stringify(outcome.problems) : ''}`);
}

/** The codes of a refusal; empty where the plan is none. */
export function codesOf(outcome: PlanOutcome): readonly string[] {
  return outcome.kind === 'refused' ? outcome.problems.map(({ code }) => code) : [];
}

async function observe(
  files: HostFiles,
  systemd: Pick<Systemd, 'version' | 'observe'> | undefined,
  spec: NodeSpec,
  argv: readonly string[] | undefined,
): Promise<ObservedNode> {
  const process = (pid: number): KubeletProcess | undefined =>
    argv === undefined
      ? undefined
      : {
          pid,
          argv: [...argv],
          executable: spec.executable ?? argv[0] ?? '',
          executableDeleted: spec.replaced ?? false,
          executableId: '1:1',
          startedAtMs,
          environment: spec.variables ?? {},
          startTicks: 1,
        };
  return observeNode(
    {
      files,
      systemd: systemd === undefined ? undefined : { ...unused, ...systemd },
      sysctls: {
        read: async () => Promise.resolve({ readings: new Map(), via: 'direct' }),
        write: never,
        list: never,
        openReader: never,
      },
      process,
      kubeletVersion: async () => Promise.resolve(spec.version ?? 'v1.36.2'),
      kernelRelease: () => '6.1.0',
      healthz: async () => Promise.resolve({ kind: 'ok' }),
      runningPods: async () => Promise.resolve({ kind: 'known', runtime: 'containerd', pods: [] }),
    },
    { unit: spec.unit ?? 'kubelet.service', sysctls: [] },
  );
}

function never(): never {
  throw new Error('an observation only reads');
}

const unused: Omit<Systemd, 'version' | 'observe'> = {
  pulse: never,
  reload: never,
  restart: never,
  resetFailed: never,
  startTimer: never,
  stopTimer: never,
  isActive: never,
  watch: never,
  close: never,
};

const running: Partial<LoadedUnit> = {
  activeState: 'active',
  subState: 'running',
  mainPid: 100,
  mainStartedAtMs: startedAtMs,
  killMode: 'process',
  settings: { Restart: '"always"' },
};
