import { type ApiClient, type ApiClock, connectApi } from './api-client.ts';
import { type ApiTarget, inCluster } from './credentials.ts';

/** What every part of the agent that runs in a pod, and acts for its node, says of itself. */
export interface PodOptions {
  readonly nodeName: string;
  readonly agentVersion: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: ApiClock;
  readonly random: () => number;
  /** Instead of the pod's service account. */
  readonly target?: ApiTarget;
  readonly namespace?: string;
}

/**
 * This pod's API server, asked for nothing yet, and the pod's namespace; undefined outside of a cluster.
 * @throws AgentError API_UNREACHABLE where the service account of this pod cannot be read.
 */
export async function connectPod(
  options: PodOptions,
): Promise<{ readonly client: ApiClient; readonly namespace: string } | undefined> {
  const { clock, random, agentVersion } = options;
  const own = inCluster(options.env, clock);
  const target = options.target ?? own?.target;
  const namespace = options.namespace ?? (await own?.namespace());
  if (target === undefined || namespace === undefined) return undefined;
  const userAgent = `kubelet-sysctl-agent/${agentVersion}`;
  return { client: connectApi({ target, clock, random, userAgent }), namespace };
}
