import type { ErrorCode, Problem } from '../errors.ts';
import { lastError } from '../kubelet/last-error.ts';
import type { Journal } from '../transaction/journal.ts';
import type { HostPorts } from './ports.ts';

/** Where the kubelet itself ended: it may have said why. */
const kubeletEnded: readonly ErrorCode[] = ['KUBELET_EXITED', 'KUBELET_RESTARTED', 'RESTART_FAILED'];

/**
 * The reason of a roll-back with what the failed kubelet said last, from the host's journal. Asked once the node is as
 * before, so that nobody waits for it; without an answer the reason stays as it is.
 */
export async function withLastWords(host: HostPorts, journal: Journal, problem: Problem): Promise<Problem> {
  if (!kubeletEnded.includes(problem.code)) return problem;
  const { unit } = journal.plan;
  const lines = await host.kubelet.log(unit, journal.startedAtMs).catch(() => []);
  const running = await host.systemd.pulse(unit).catch(() => undefined);
  const well = [
    journal.baseline?.invocationId,
    running?.activeState === 'active' ? running.invocationId : undefined,
  ];
  const failed = lines.filter(({ invocationId }) => invocationId === '' || !well.includes(invocationId));
  const said = lastError(failed.map(({ text }) => text));
  return {
    next: `\`journalctl --unit ${unit}\` has all that the kubelet said`,
    ...problem,
    message: said === undefined ? problem.message : `${problem.message}; its last error: ${said}`,
  };
}
