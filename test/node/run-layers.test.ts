import { test } from 'tap';
import { policyPath, RunningAgent } from './run-agent.ts';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;
const policy = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata: { name: web }
spec:
  kubelet: { allowedUnsafeSysctls: [net.core.somaxconn] }
  rollout: { probation: 1s }
`;
const files = { [policyPath]: policy };
const apply = ['apply', '--policy', '/etc/ksa'];
const unitPath = '/etc/systemd/system/kubelet.service';

type Seen = Readonly<Partial<Record<'disk' | 'loaded' | 'process', 0 | 1 | undefined>>>;

/** Waits until the layers are seen so, and gives the milliseconds that took. */
async function shows(agent: RunningAgent, seen: Seen): Promise<number> {
  const began = performance.now();
  for (const [layer, drift] of Object.entries(seen))
    await agent.sees(`kubelet_allowlist_drift{layer="${layer}"}`, drift);
  return performance.now() - began;
}

/** A node whose kubelet has what the policy wants, and an agent that only looks. */
async function watched(node: TestNode): Promise<RunningAgent> {
  const { code, stdout, stderr } = await node.agent(apply);
  if (code !== 0) throw new Error(stdout + stderr);
  const agent = new RunningAgent(node);
  // Longer than the test: whatever is seen was told by the kernel or by systemd.
  await agent.start('--dry-run', '--interval', '10m');
  await shows(agent, { disk: 0, loaded: 0, process: 0 });
  return agent;
}

void test(
  'what somebody does to the unit shows layer by layer, long before the next look',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'quick', files }, t);
    const agent = await watched(node);
    const soon = async (what: string, seen: Seen): Promise<void> => {
      const tookMs = await shows(agent, seen);
      t.pass(`${what}: ${Math.round(tookMs)} ms`);
    };
    const dropIn = '/etc/systemd/system/kubelet.service.d/50-foreign.conf';
    const flagless = node
      .read(unitPath)
      .toString()
      .replace(/ \\\n *--allowed-unsafe-sysctls=\S+/, '');
    const command = flagless.match(/^ExecStart=(?:.*\\\n)*.*$/m)?.[0] ?? '';

    node.write(dropIn, `[Service]\nExecStart=\n${command}\n`);
    await soon('a drop-in that wins', { disk: 1, loaded: 0, process: 0 });
    await node.systemctl('daemon-reload');
    await soon('is loaded', { disk: 1, loaded: 1, process: 0 });
    await node.systemctl('restart', 'kubelet');
    await soon('and in force', { disk: 1, loaded: 1, process: 1 });

    await node.exec(['rm', dropIn]);
    await soon('taken away', { disk: 0, loaded: 1, process: 1 });
    await node.systemctl('daemon-reload');
    await soon('and unloaded', { disk: 0, loaded: 0, process: 1 });
    await node.systemctl('restart', 'kubelet');
    await soon('and gone', { disk: 0, loaded: 0, process: 0 });

    // As dpkg does it: a new file renamed over the old one, then a reload and a restart.
    node.write(`${unitPath}.dpkg-new`, flagless);
    const upgrade = `mv ${unitPath}.dpkg-new ${unitPath} && systemctl daemon-reload && systemctl restart kubelet`;
    await node.exec(['sh', '-c', upgrade]);
    await soon('a package upgrade', { disk: 1, loaded: 1, process: 1 });

    await agent.end('TERM');
    await agent.start();
    await shows(agent, { disk: 0, loaded: 0, process: 0 });
    await agent.isIn('converged');
  },
);

void test(
  'an environment file that is edited shows on disk, as the next start would take it',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'env-file', files }, t);
    const { code } = await node.agent([...apply, '--placement', 'EnvironmentFile']);
    t.equal(code, 0);
    const agent = await watched(node);
    const path = '/etc/default/kubelet';
    const text = node.read(path).toString();
    node.write(path, text.replace(/--allowed-unsafe-sysctls=[^\s"]+/, ''));
    await shows(agent, { disk: 1, loaded: 1, process: 0 });
    node.write(path, text);
    await shows(agent, { disk: 0, loaded: 0, process: 0 });
  },
);

void test(
  'a list in the configuration that is edited leaves the process unknown, not fine',
  { skip },
  async (t) => {
    const node = await bootNode({ layout: 'with-config-list', files }, t);
    const { code } = await node.agent([...apply, '--placement', 'KubeletConfig']);
    t.equal(code, 0);
    const agent = await watched(node);
    const path = '/var/lib/kubelet/config.yaml';
    const text = node.read(path).toString();
    t.match(text, 'net.core.somaxconn');
    node.write(path, text.replace('net.core.somaxconn', 'net.core.busy_poll'));
    await shows(agent, { disk: 1, loaded: 1, process: undefined });
  },
);
