import { type ApiClient, type ApiClock, connectApi } from './api-client.ts';
import { inCluster } from './credentials.ts';
import { type Fleet, followFleet, readFleet } from './fleet.ts';
import { readKubeconfig } from './kubeconfig.ts';

/** The whole fleet, for a person's eyes. */
export interface FleetConnection {
  /** @throws AgentError API_UNREACHABLE, API_REFUSED. */
  read(): Promise<Fleet>;
  /** Tells of every change until it is closed. */
  follow(changed: (fleet: Fleet, trouble: string | undefined) => void): { close(): void };
  close(): void;
}

export interface FleetOptions {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** Of the agent; its slots are there. */
  readonly namespace: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: ApiClock;
  readonly random: () => number;
  readonly agentVersion: string;
}

/** By kubeconfig; in a pod without one, by its service account. @throws AgentError KUBECONFIG_UNUSABLE. */
export async function connectFleet(options: FleetOptions): Promise<FleetConnection> {
  const { clock, random, env } = options;
  const named = options.kubeconfig ?? options.context ?? env['KUBECONFIG'];
  const own = named === undefined || named === '' ? inCluster(env, clock) : undefined;
  const { target, namespace } =
    own === undefined
      ? {
          ...(await readKubeconfig({ file: options.kubeconfig, context: options.context, env })),
          namespace: defaultNamespace,
        }
      : { target: own.target, namespace: await own.namespace() };
  const client: ApiClient = connectApi({
    target,
    clock,
    random,
    userAgent: `kubelet-sysctl-agent/${options.agentVersion}`,
  });
  const from = options.namespace ?? namespace;
  return {
    read: async () => readFleet(client, from),
    follow: (changed) => followFleet({ client, clock, random }, from, changed),
    close: () => {
      client.close();
    },
  };
}

/** Where manifests/base puts the agent. */
const defaultNamespace = 'kubelet-sysctl-agent';
