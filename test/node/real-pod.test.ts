import t from 'tap';
import { bootNode, nodeTierUnavailable, realKubelet, type TestNode } from './support/node.ts';
import { podOf, startPod } from './support/real-pods.ts';
import { importTinyImage, tinyImage, tinyImageUnavailable } from './support/tiny-image.ts';

const unavailable =
  nodeTierUnavailable() ??
  (realKubelet() === undefined ? 'needs a real kubelet (KUBELET is not set)' : tinyImageUnavailable());
const tier = { skip: unavailable ?? false, timeout: 300_000 };
const sysctl = 'net.core.somaxconn=512';

for (const layout of ['icp', 'kubeadm']) {
  void t.test(
    `${layout}: the pod that was forbidden runs, and its neighbour never stopped`,
    tier,
    async (t) => {
      const node = await bootNode({ layout }, t);
      await importTinyImage(node);
      const neighbour = startPod(node, { sysctls: [], image: tinyImage });
      const web = startPod(node, { sysctls: [sysctl], image: tinyImage });
      await isIn(node, neighbour, 'Running');
      const refused = await isIn(node, web, 'Failed');
      t.match(refused, {
        reason: 'SysctlForbidden',
        message: /forbidden sysctl: "net.core.somaxconn" not allowlisted/,
      });
      const before = await tasks(node);

      const applied = await node.agent(['apply', '--allow', 'net.core.somaxconn', '--probation', '3s']);
      t.equal(applied.code, 0, applied.stdout + applied.stderr);
      await isIn(node, web, 'Running');
      const after = await tasks(node);
      t.strictSame(
        before.filter((pid) => !after.includes(pid)),
        [],
        'what ran before runs still',
      );
      const inside = await Promise.all(after.map(async (pid) => somaxconn(node, pid)));
      t.ok(inside.includes('512'), `${inside.join(' ')} inside the pods`);
      t.not(await somaxconn(node, 1), '512', 'the node has its own value');

      const kept = await node.agent(['rollback']);
      t.equal(kept.code, 3, kept.stdout + kept.stderr);
      t.match(kept.stdout + kept.stderr, /REMOVAL_IN_USE/);
      t.match(kept.stdout + kept.stderr, web, 'it names the pod that would be killed');
      const forced = await node.agent(['rollback', '--force', 'REMOVAL_IN_USE']);
      t.equal(forced.code, 0, forced.stdout + forced.stderr);
      t.match(await isIn(node, web, 'Failed'), { reason: 'SysctlForbidden' });
    },
  );
}

async function isIn(
  node: TestNode,
  pod: string,
  phase: string,
): Promise<{ reason?: string | undefined; message?: string | undefined }> {
  let last = '';
  return node.waitFor(
    async () => {
      const found = await podOf(node, pod);
      last = JSON.stringify(found);
      return found?.status.phase === phase ? found.status : undefined;
    },
    {
      what: `the pod ${pod} to be ${phase}`,
      deadlineMs: 60_000,
      explain: async () => `${last}\n${(await node.journal('kubelet')).split('\n').slice(-10).join('\n')}`,
    },
  );
}

/** Process ids of everything that the container runtime runs. */
async function tasks(node: TestNode): Promise<readonly number[]> {
  const { stdout } = await node.exec(['ctr', '-n', 'k8s.io', 'tasks', 'ls']);
  return [...stdout.matchAll(/^\S+\s+(\d+)\s+RUNNING/gm)].map((match) => Number(match[1]));
}

async function somaxconn(node: TestNode, pid: number): Promise<string> {
  const asked = ['nsenter', '-t', String(pid), '-n', 'cat', '/proc/sys/net/core/somaxconn'];
  return (await node.exec(asked)).stdout.trim();
}
