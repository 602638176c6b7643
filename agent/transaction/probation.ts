import type { ErrorCode } from '../errors.ts';

/** What is seen of the kubelet at one moment of its probation. Times are monotonic milliseconds. */
export interface Sample {
  readonly atMs: number;
  readonly activeState: string;
  readonly subState: string;
  readonly mainPid: number;
  readonly invocationId: string;
  readonly nRestarts: number;
  /** `off`: nothing listens there; `unknown`: it could not be asked. */
  readonly health: 'ok' | 'off' | 'unhealthy' | 'unknown';
  /** The running process holds what the plan promised; undefined while its command line cannot be read. */
  readonly flagInForce: boolean | undefined;
}

export interface ProbationRules {
  /** How long the kubelet must be well without a break. */
  readonly probationMs: number;
  /** How long it may take until it is well for the first time; breaks count against it as well. */
  readonly graceMs: number;
  readonly healthzRequired: boolean;
}

export interface Probation {
  readonly startedAtMs: number;
  readonly process:
    { readonly mainPid: number; readonly invocationId: string; readonly nRestarts: number } | undefined;
  /** When the present unbroken run of good samples began. */
  readonly wellSinceMs: number | undefined;
  /** Why the last sample was not good. */
  readonly complaint: { readonly code: ErrorCode; readonly message: string } | undefined;
}

export type ProbationStep =
  | { readonly kind: 'watching'; readonly probation: Probation }
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

export function startProbation(atMs: number): Probation {
  return { startedAtMs: atMs, process: undefined, wellSinceMs: undefined, complaint: undefined };
}

/**
 * The kubelet has proven itself when one and the same process was well for `probationMs` without a break.
 * A process that exits, is replaced or restarts fails at once; one that does not answer fails when time is up.
 * A job that systemd reports as `done` plays no part: for Type=simple it says nothing.
 */
export function judge(probation: Probation, sample: Sample, rules: ProbationRules): ProbationStep {
  const broken = processFailure(probation, sample);
  if (broken !== undefined) return { kind: 'failed', ...broken };

  const process = processSeen(probation.process, sample);
  const complaint = complaintAbout(sample, rules);
  const wellSinceMs = complaint === undefined ? (probation.wellSinceMs ?? sample.atMs) : undefined;

  if (wellSinceMs !== undefined && sample.atMs - wellSinceMs >= rules.probationMs) return { kind: 'passed' };
  if (sample.atMs - probation.startedAtMs > rules.graceMs + rules.probationMs) {
    return {
      kind: 'failed',
      ...(complaint ?? {
        code: 'KUBELET_NOT_ANSWERING',
        message: 'the kubelet was never well for long enough',
      }),
    };
  }
  return { kind: 'watching', probation: { ...probation, process, wellSinceMs, complaint } };
}

function processSeen(known: Probation['process'], sample: Sample): Probation['process'] {
  if (sample.mainPid === 0) return known;
  // A person's reset-failed sets the counter back; from there it may not rise either.
  const nRestarts = Math.min(known?.nRestarts ?? sample.nRestarts, sample.nRestarts);
  return { mainPid: sample.mainPid, invocationId: sample.invocationId, nRestarts };
}

function processFailure(
  probation: Probation,
  sample: Sample,
): { code: ErrorCode; message: string } | undefined {
  const { activeState, subState } = sample;
  if (activeState === 'failed' || activeState === 'inactive' || activeState === 'deactivating') {
    return { code: 'KUBELET_EXITED', message: `the kubelet's unit went ${activeState} (${subState})` };
  }
  if (subState === 'auto-restart' || subState === 'auto-restart-queued') {
    return { code: 'KUBELET_EXITED', message: 'the kubelet exited and systemd is about to start it again' };
  }
  const known = probation.process;
  if (known === undefined) return undefined;
  if (
    sample.mainPid !== known.mainPid ||
    sample.invocationId !== known.invocationId ||
    sample.nRestarts > known.nRestarts
  ) {
    return {
      code: 'KUBELET_RESTARTED',
      message: `the kubelet was restarted during its probation (PID ${known.mainPid} became ${sample.mainPid}, restarts ${known.nRestarts} became ${sample.nRestarts})`,
    };
  }
  return undefined;
}

function complaintAbout(
  sample: Sample,
  rules: ProbationRules,
): { code: ErrorCode; message: string } | undefined {
  if (sample.activeState !== 'active' || sample.mainPid === 0) {
    return {
      code: 'KUBELET_NOT_ANSWERING',
      message: `the kubelet's unit is still ${sample.activeState} (${sample.subState})`,
    };
  }
  if (sample.flagInForce !== true) {
    return {
      code: 'FLAG_NOT_IN_FORCE',
      message:
        sample.flagInForce === undefined
          ? "the running kubelet's command line cannot be read"
          : 'the running kubelet does not have the allowlist that the plan promised',
    };
  }
  if (rules.healthzRequired && sample.health !== 'ok') {
    return {
      code: 'KUBELET_NOT_ANSWERING',
      message: `the kubelet's /healthz is ${sample.health}; it was ok before the change`,
    };
  }
  if (sample.health === 'unhealthy') {
    return { code: 'KUBELET_NOT_ANSWERING', message: "the kubelet's /healthz answers that it is not well" };
  }
  return undefined;
}
