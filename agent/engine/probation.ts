import { AgentError } from '../errors.ts';
import { isCovered } from '../kubelet/allowlist.ts';
import { classifyProcess } from '../kubelet/command.ts';
import { readAllowlistFlag } from '../kubelet/flag.ts';
import type { Plan } from '../plan/plan.ts';
import { judge, type Sample, startProbation } from '../transaction/probation.ts';
import type { HostPorts } from './ports.ts';

export interface ProbationRequest {
  readonly probationMs: number;
  readonly healthz: { readonly address: string; readonly port: number };
  /** What the running process must allow; empty asks nothing of its command line. */
  readonly entries: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * Returns when the kubelet has proven itself.
 * @throws AgentError KUBELET_EXITED, KUBELET_RESTARTED, KUBELET_NOT_ANSWERING or FLAG_NOT_IN_FORCE when it has not,
 * and SYSTEMD_CALL_FAILED when systemd no longer answers: silence is never taken for health.
 */
export async function watchProbation(
  host: HostPorts,
  plan: Pick<Plan, 'unit' | 'healthzRequired'>,
  request: ProbationRequest,
): Promise<void> {
  const rules = {
    probationMs: request.probationMs,
    graceMs: host.deadlines.graceMs,
    healthzRequired: plan.healthzRequired,
  };
  let probation = startProbation(host.clock.monotonic());
  for (;;) {
    request.signal.throwIfAborted();
    const step = judge(probation, await sample(host, plan.unit, request), rules);
    switch (step.kind) {
      case 'passed':
        return;
      case 'failed':
        throw new AgentError(step.code, step.message);
      case 'watching':
        probation = step.probation;
    }
    await host.clock.sleep(host.deadlines.sampleMs, request.signal);
  }
}

async function sample(host: HostPorts, unit: string, request: ProbationRequest): Promise<Sample> {
  const health = await host.kubelet.healthz(request.healthz.address, request.healthz.port);
  // The process last: whatever happened while healthz was asked shows in it.
  const pulse = await host.systemd.pulse(unit);
  return {
    atMs: host.clock.monotonic(),
    ...pulse,
    health: health.kind === 'timedOut' ? 'unknown' : health.kind,
    flagInForce: await flagInForce(host, pulse.mainPid, request.entries),
  };
}

async function flagInForce(
  host: HostPorts,
  pid: number,
  entries: readonly string[],
): Promise<boolean | undefined> {
  if (entries.length === 0) return true;
  if (pid === 0) return undefined;
  const process = await host.kubelet.process(pid);
  if (process === undefined) return undefined;
  const command = classifyProcess(process);
  if (command.kind !== 'kubelet') return undefined;
  const flag = readAllowlistFlag(process.argv.slice(command.argsFrom));
  if (!flag.ok) return false;
  return entries.every((entry) => isCovered(flag.entries ?? [], entry));
}
