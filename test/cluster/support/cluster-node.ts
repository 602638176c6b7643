import { execa } from 'execa';
import { field, list, text } from '../../../agent/cluster/objects.ts';
import type { RunningCommand, TestNode } from '../../node/support/node.ts';
import { namespace, type TestApi } from './api.ts';
import type { Bridge } from './bridge.ts';

export const leasesPath = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
export const policiesPath = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlpolicies';
const statusesPath = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlstatuses';

/** A throw-away node whose agent is in a cluster, as its admin sees it. */
export class ClusterNode {
  readonly node: TestNode;
  readonly name: string;
  readonly #api: TestApi;
  readonly #env: Readonly<Record<string, string>>;
  #command: RunningCommand | undefined;

  private constructor(node: TestNode, api: TestApi, env: Readonly<Record<string, string>>) {
    this.node = node;
    this.name = node.name;
    this.#api = api;
    this.#env = env;
  }

  /** Registers the node in the cluster and leads it to the API server; its agent is not started. */
  static async join(node: TestNode, api: TestApi, bridge: Bridge, spec: object = {}): Promise<ClusterNode> {
    await api.admin.create('/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: node.name },
      spec,
    });
    return new ClusterNode(node, api, await bridge.lead(node));
  }

  async start(...args: readonly string[]): Promise<void> {
    const command = this.node.agentCommand(['run', '--interval', '1s', ...args]);
    this.#command = await this.node.spawn(command, { env: this.#env });
  }

  /** Another command of the agent, in the same pod as it were. */
  async once(...args: readonly string[]): Promise<RunningCommand> {
    return this.node.spawn(this.node.agentCommand(args), { env: { ...this.#env, KSA_NODE_NAME: this.name } });
  }

  /** Ends the agent by a signal; gives its exit code and how long it took. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<{ readonly code: number; readonly tookMs: number }> {
    const began = performance.now();
    this.#command?.kill(signal);
    const result = await this.#command?.result;
    return { code: result?.code ?? -1, tookMs: performance.now() - began };
  }

  get log(): string {
    return this.#command?.stderr() ?? '';
  }

  async status(): Promise<unknown> {
    const all = await this.#api.admin.get(statusesPath);
    return field(
      list(field(all, 'items')).find((each) => text(field(each, 'metadata'), 'name') === this.name),
      'status',
    );
  }

  /** Waits for a state in the node's status, and gives the status. */
  async isIn(state: string, holds: (status: unknown) => boolean = () => true): Promise<unknown> {
    return this.node
      .waitFor(
        async () => {
          const status = await this.status();
          return text(status, 'state') === state && holds(status) ? { status } : undefined;
        },
        {
          what: `${this.name} to be ${state}`,
          deadlineMs: 40_000,
          explain: async () => `${JSON.stringify(await this.status())}\n${this.log.slice(-3_000)}`,
        },
      )
      .then(({ status }) => status);
  }

  async label(policy: string): Promise<string | undefined> {
    const node = await this.#api.admin.get(`/api/v1/nodes/${this.name}`);
    return text(field(field(node, 'metadata'), 'labels'), `sysctl-agent.dev/${policy}`);
  }

  async taints(): Promise<readonly unknown[]> {
    return list(field(field(await this.#api.admin.get(`/api/v1/nodes/${this.name}`), 'spec'), 'taints'));
  }

  /** Reasons of the events on this node, in no order. */
  async events(): Promise<readonly string[]> {
    const all = list(field(await this.#api.admin.get('/api/v1/namespaces/default/events'), 'items'));
    return all
      .filter((each) => text(field(each, 'involvedObject'), 'name') === this.name)
      .map((each) => text(each, 'reason') ?? '');
  }

  async get(path: string): Promise<string> {
    const command = [
      '-t',
      String(this.node.pid),
      '-n',
      '--',
      'curl',
      '-s',
      '-m',
      '5',
      `http://127.0.0.1:9877${path}`,
    ];
    return (await execa('nsenter', command, { reject: false })).stdout;
  }

  async metric(series: string): Promise<number | undefined> {
    const line = (await this.get('/metrics')).split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }
}

/** Who holds which slot, and how the holder failed. */
export async function slotsOf(
  api: TestApi,
): Promise<
  readonly { readonly name: string; readonly holder: string; readonly failure: string | undefined }[]
> {
  return list(field(await api.admin.get(leasesPath), 'items')).map((lease) => ({
    name: text(field(lease, 'metadata'), 'name') ?? '',
    holder: text(field(lease, 'spec'), 'holderIdentity') ?? '',
    failure: text(field(field(lease, 'metadata'), 'annotations'), 'sysctl-agent.dev/failure'),
  }));
}
