import type { PodReadings } from '../host/pod-namespaces.ts';
import { sameValue } from '../sysctl/values.ts';
import { normaliseName } from '../sysctl/names.ts';
import type { LoopPorts, PodFacts } from './loop-ports.ts';
import type { PodsOfNode, SpecifiedPod } from './reporter.ts';

/** Looks into this node's pods: soon after they changed, and now and then. */
export class LoopPods {
  private readonly ports: Pick<LoopPorts, 'pods' | 'runtimePods' | 'podSysctls' | 'publish' | 'host'>;
  private lookedAtMs = Number.NEGATIVE_INFINITY;
  private changed = true;

  constructor(ports: LoopPods['ports']) {
    this.ports = ports;
  }

  noticed(): void {
    this.changed = true;
  }

  /** Does nothing while the last look is fresh enough. */
  async look(): Promise<void> {
    const nowMs = this.ports.host.clock.monotonic();
    if (nowMs - this.lookedAtMs < (this.changed ? changedMs : unchangedMs)) return;
    this.lookedAtMs = nowMs;
    this.changed = false;
    this.ports.publish.pods(await podFacts(this.ports));
  }
}

/**
 * Compares what runs in pods with their specs, and counts the rejected ones. The API server's word where there is one;
 * else what the container runtime was told to set. A pod that cannot be looked into has no series.
 */
export async function podFacts(
  ports: Pick<LoopPorts, 'pods' | 'runtimePods' | 'podSysctls'>,
): Promise<PodFacts> {
  const told = ports.pods.pods();
  const running = told.kind === 'known' ? told.running : await fromRuntime(ports);
  const asked = running.filter(({ sysctls }) => Object.keys(sysctls).length > 0);
  const answers = await ports.podSysctls(
    asked.map(({ uid, sysctls }) => ({ uid, names: Object.keys(sysctls) })),
  );
  return {
    forbidden: told.kind === 'known' ? countForbidden(told) : undefined,
    drift: asked.flatMap((pod) => driftOfPod(pod, answers.get(pod.uid))),
  };
}

const changedMs = 15_000;
// A value inside a pod changes only when a process in it, or one with its rights, writes it.
const unchangedMs = 5 * 60_000;

async function fromRuntime(ports: Pick<LoopPorts, 'runtimePods'>): Promise<readonly SpecifiedPod[]> {
  const running = await ports.runtimePods();
  return running.kind === 'known' ? running.pods : [];
}

function driftOfPod(pod: SpecifiedPod, answer: PodReadings | undefined): PodFacts['drift'] {
  if (answer?.kind !== 'read') return [];
  return Object.entries(pod.sysctls).flatMap(([name, wanted]) => {
    const reading = answer.readings.get(name);
    if (reading?.kind !== 'value') return [];
    const { namespace, name: podName } = pod;
    return [
      { namespace, pod: podName, sysctl: normaliseName(name), drifted: !sameValue(reading.value, wanted) },
    ];
  });
}

function countForbidden({
  forbidden,
}: Extract<PodsOfNode, { kind: 'known' }>): NonNullable<PodFacts['forbidden']> {
  const counts = new Map<string, { namespace: string; sysctl: string; pods: number }>();
  for (const { namespace, sysctls } of forbidden) {
    for (const sysctl of new Set(sysctls.map(normaliseName))) {
      const key = `${namespace} ${sysctl}`;
      const known = counts.get(key) ?? { namespace, sysctl, pods: 0 };
      counts.set(key, { ...known, pods: known.pods + 1 });
    }
  }
  return [...counts.values()];
}
