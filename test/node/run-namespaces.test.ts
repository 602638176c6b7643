import { randomUUID } from 'node:crypto';
import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { test } from 'tap';
import { readPodSysctls } from '../../agent/host/pod-namespaces.ts';
import { spawnCommands } from '../../agent/host/spawn-commands.ts';
import { policyPath, webPolicy } from './run-agent.ts';
import { makeCgroups, removeCgroups } from './support/cgroup.ts';
import { bootNode, nodeTierUnavailable, waitFor } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;

void test(
  'an agent in a network namespace of its own tells the values of the node, not its own',
  { skip },
  async (t) => {
    const node = await bootNode(
      { layout: 'quick', files: { [policyPath]: webPolicy.replace(', remediation: Write', '') } },
      t,
    );
    await node.exec(['sh', '-c', 'echo 777 > /proc/sys/net/core/somaxconn']);
    const inside = `ip link set lo up; echo 1234 > /proc/sys/net/core/somaxconn; "$@" & while sleep 0.1; do curl -s http://127.0.0.1:9877/metrics > /run/new && mv /run/new /run/scraped; done`;
    const command = node.agentCommand(['run', '--policy', '/etc/ksa', '--interval', '1s', '--dry-run']);
    await node.spawn(['unshare', '--net', '--ipc', 'sh', '-c', inside, 'sh', ...command]);
    const told = async (line: string): Promise<void> => {
      await node.waitFor(
        () => node.exists('/run/scraped') && node.read('/run/scraped').includes(`\nsysctl_agent_${line}\n`),
        { what: line },
      );
    };
    await told('node_sysctl_value{sysctl="net.core.somaxconn",index="0"} 777');
    await told('node_sysctl_drift{sysctl="net.core.somaxconn"} 1');
    await told('node_sysctls_via{via="nsenter"} 1');
    await node.exec(['sh', '-c', 'echo 1234 > /proc/sys/net/core/somaxconn']);
    await told('node_sysctl_drift{sysctl="net.core.somaxconn"} 0');
    t.equal((await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout, '1234\n');
  },
);

void test('a sysctl inside a pod is read in the namespaces of the pod', { skip }, async (t) => {
  const uid = randomUUID();
  const name = `kubepods/besteffort/pod${uid}`;
  const groups = makeCgroups(name);
  const pod = execa(
    'unshare',
    ['--net', '--ipc', 'sh', '-c', 'echo 512 > /proc/sys/net/core/somaxconn; echo ready; exec sleep 1000'],
    { reject: false },
  );
  t.teardown(async () => {
    pod.kill('SIGKILL');
    await pod;
    await waitFor(() => removeCgroups(name), { what: 'the control groups to be empty' });
  });
  await waitFor(
    () =>
      pod.pid !== undefined && readlinkSync(`/proc/${pod.pid}/ns/net`) !== readlinkSync('/proc/self/ns/net'),
    { what: 'a namespace' },
  );
  for (const group of groups) writeFileSync(join(group, 'cgroup.procs'), String(pod.pid));
  const names = ['net.core.somaxconn', 'net/ipv4/ip_local_port_range', 'kernel.msgmax', 'net.bogus'];
  const ask = async (): Promise<Record<string, unknown>> => {
    const answer = (await readPodSysctls([{ uid, names }], { commands: spawnCommands })).get(uid);
    return answer?.kind === 'read' ? Object.fromEntries(answer.readings) : { unreachable: answer };
  };
  const readings = await waitFor(
    async () => {
      const told = await ask();
      return (told['net.core.somaxconn'] as { value?: string } | undefined)?.value === '512' && told;
    },
    { what: 'the pod to have set its value' },
  );
  t.match(readings, {
    'net/ipv4/ip_local_port_range': { kind: 'value', value: /^\d+\t\d+$/ },
    'kernel.msgmax': { kind: 'value', value: '8192' },
    'net.bogus': { kind: 'unreadable', reason: 'absent' },
  });
  t.match(
    (await readPodSysctls([{ uid: randomUUID(), names }], { commands: spawnCommands })).values().next().value,
    { kind: 'unreachable' },
  );
});
