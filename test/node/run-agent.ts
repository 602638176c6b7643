import { execa } from 'execa';
import type { RunningCommand, TestNode } from './support/node.ts';

/** A policy for one entry and one sysctl, healed and proven in about a second. */
export const webPolicy = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata: { name: web }
spec:
  kubelet: { allowedUnsafeSysctls: [net.core.somaxconn] }
  sysctls:
    - { name: net.core.somaxconn, value: "1234", remediation: Write }
    - { name: net.ipv4.tcp_fin_timeout, atMost: "60" }
  rollout: { probation: 1s }
`;

export const policyPath = '/etc/ksa/policy.yaml';

/** `run` on a throw-away node, as its scrapers see it. */
export class RunningAgent {
  private readonly node: TestNode;
  private readonly prefix: readonly string[];
  private command: RunningCommand | undefined;

  /** `prefix`: a command that starts the agent, such as `env NAME=value`. */
  constructor(node: TestNode, prefix: readonly string[] = []) {
    this.node = node;
    this.prefix = prefix;
  }

  async start(...args: readonly string[]): Promise<void> {
    const all = ['run', '--policy', '/etc/ksa', '--interval', '1s', ...args];
    this.command = await this.node.spawn([...this.prefix, ...this.node.agentCommand(all)]);
  }

  async get(path: string, headers: readonly string[] = []): Promise<string> {
    const asked = [
      '-s',
      '-m',
      '5',
      ...headers.flatMap((header) => ['-H', header]),
      `http://127.0.0.1:9877${path}`,
    ];
    const { stdout } = await execa('nsenter', ['-t', String(this.node.pid), '-n', '--', 'curl', ...asked], {
      reject: false,
    });
    return stdout;
  }

  /** The value of a series, by its text before the value; undefined when it is absent. */
  async value(series: string): Promise<number | undefined> {
    const line = (await this.get('/metrics')).split('\n').find((one) => one.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  /** Waits until a series has a value, and gives the milliseconds that took; `undefined`: until it is absent. */
  async sees(series: string, value: number | undefined, deadlineMs = 20_000): Promise<number> {
    const began = performance.now();
    await this.node.waitFor(async () => (await this.value(`sysctl_agent_${series}`)) === value, {
      what: `${series} to be ${value}`,
      deadlineMs,
    });
    return performance.now() - began;
  }

  async isIn(state: string, deadlineMs = 20_000): Promise<number> {
    return this.sees(`state{state="${state}"}`, 1, deadlineMs);
  }

  /** Sends a signal to the agent itself and waits for its end; gives its exit code and log. */
  async end(signal: 'TERM' | 'KILL'): Promise<{ readonly code: number; readonly log: string }> {
    await this.node.exec(['pkill', `-${signal}`, '-f', '/opt/agent/dist/kubelet-sysctl-agent.cjs run']);
    const result = await this.command?.result;
    return { code: result?.code ?? -1, log: result?.stderr ?? '' };
  }
}
