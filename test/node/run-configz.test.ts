import { test } from 'tap';
import { policyPath, RunningAgent, webPolicy } from './run-agent.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const skip =
  nodeTierUnavailable() ??
  ((process.env['KUBELET'] ?? '') === ''
    ? 'the stand-in has no /configz: set KUBELET to a real kubelet'
    : false);
const layer = (name: string): string => `kubelet_allowlist_drift{layer="${name}"}`;

void test("the kubelet's own word on its allowlist is a layer of its own", { skip }, async (t) => {
  const files = { [policyPath]: webPolicy, '/etc/ksa-token': 'any\n' };
  const node = await bootNode({ layout: 'quick', files }, t);
  const agent = new RunningAgent(node);
  await agent.start('--configz', '10250', '--configz-token-file', '/etc/ksa-token', '--dry-run');
  await agent.sees(layer('configz'), 1);
  t.equal(
    await agent.value('sysctl_agent_kubelet_allowlist_entry{entry="net.core.somaxconn",layer="configz"}'),
    0,
  );
  await agent.end('TERM');

  await agent.start('--configz', '10250', '--configz-token-file', '/etc/ksa-token');
  await agent.isIn('converged', 60_000);
  await agent.sees(layer('configz'), 0);
  t.equal(
    await agent.value('sysctl_agent_kubelet_allowlist_entry{entry="net.core.somaxconn",layer="configz"}'),
    1,
  );

  await node.systemctl('stop', 'kubelet');
  await agent.sees(layer('configz'), undefined);
  await node.systemctl('start', 'kubelet');
  await agent.sees(layer('configz'), 0);
});
