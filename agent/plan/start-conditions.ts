import type { Problem } from '../errors.ts';

/**
 * What a kubelet needs at its start and a running one no longer: the old command line would fail without it just as
 * the new one, so a roll-back could not help, and the restart must not be begun.
 */
export interface StartConditions {
  /** Files and directories that flags name and that are not there. */
  readonly missing: readonly { readonly flag: string; readonly path: string }[];
  /** Neither a kubeconfig nor a bootstrap kubeconfig is there, though flags name them. */
  readonly noKubeconfig: readonly string[];
  /** Swap areas in use, where the kubelet would not start with any (failSwapOn). */
  readonly swaps: readonly string[];
  /** The container runtime's socket that flags or configuration name. */
  readonly runtime:
    { readonly path: string; readonly state: 'answers' | 'silent' | 'absent' | 'unknown' } | undefined;
  /** The kubelet's own client certificate, where it keeps one. Milliseconds since the epoch. */
  readonly clientCertificate:
    { readonly path: string; readonly notAfterMs: number; readonly canBootstrap: boolean } | undefined;
}

/** Why the kubelet would not come back from a restart, whoever restarts it. Sources: cmd/kubelet/app/server.go. */
export function startProblems(conditions: StartConditions, nowMs: number): readonly Problem[] {
  const problems: Problem[] = conditions.missing.map(({ flag, path }) =>
    wouldNotStart(
      `--${flag} names ${path}, which is not there (any more)`,
      'put it back, or correct the flag',
    ),
  );
  if (conditions.noKubeconfig.length > 0) {
    problems.push(
      wouldNotStart(
        `none of ${conditions.noKubeconfig.join(', ')} is there: the kubelet could not join the cluster again`,
        'restore the kubeconfig, or join the node anew',
      ),
    );
  }
  if (conditions.swaps.length > 0) {
    problems.push(
      wouldNotStart(
        `swap is on (${conditions.swaps.join(', ')}) and the kubelet refuses to start with it`,
        'run `swapoff -a`, or set failSwapOn: false',
      ),
    );
  }
  const { runtime, clientCertificate: certificate } = conditions;
  if (runtime !== undefined && (runtime.state === 'absent' || runtime.state === 'silent')) {
    problems.push(
      wouldNotStart(
        `the container runtime's socket ${runtime.path} ${runtime.state === 'absent' ? 'is not there' : 'does not answer'}`,
        'start the container runtime first',
      ),
    );
  }
  if (certificate !== undefined && certificate.notAfterMs <= nowMs && !certificate.canBootstrap) {
    problems.push(
      wouldNotStart(
        `the client certificate ${certificate.path} expired at ${new Date(certificate.notAfterMs).toISOString()}, and there is no bootstrap kubeconfig to get another one`,
        'renew it first',
      ),
    );
  }
  return problems;
}

function wouldNotStart(message: string, next: string): Problem {
  return {
    code: 'KUBELET_WOULD_NOT_START',
    message: `a restart would not bring the kubelet back: ${message}`,
    next,
  };
}
