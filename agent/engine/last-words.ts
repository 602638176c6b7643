import type { ErrorCode, Problem } from '../errors.ts';
import type { LogLine } from '../host/unit-log.ts';
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
  const said = firstWords(lines, journal.baseline?.invocationId);
  return {
    next: `\`journalctl --unit ${unit}\` has all that the kubelet said`,
    ...problem,
    message: said === undefined ? problem.message : `${problem.message}; its last error: ${said}`,
  };
}

/** Of the first start after the one before that said why it ended: what was started since has the old command again. */
function firstWords(lines: readonly LogLine[], before: string | undefined): string | undefined {
  const starts = Map.groupBy(lines, ({ invocationId }) => invocationId);
  return [...starts]
    .filter(([invocationId]) => invocationId !== before)
    .map(([, said]) => lastError(said.map(({ text }) => text)))
    .find((words) => words !== undefined);
}
