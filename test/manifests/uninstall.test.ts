// What docs/uninstall.md promises: nodes keep their allowlist, or get back what they had; nothing hangs on deletion.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { bootNode, nodeTierUnavailable } from '../node/support/node.ts';
import { manifests, readManifests, yamlFilesBelow } from './support/documents.ts';

const skip =
  nodeTierUnavailable() ??
  (existsSync('dist/kubelet-sysctl-agent.cjs') ? false : 'needs the bundle: npm run build');

void t.test('nothing that is installed has a finalizer', async (t) => {
  const objects = yamlFilesBelow(manifests)
    .filter((file) => !file.startsWith('prometheus/'))
    .flatMap(readManifests);
  t.strictSame(
    objects.filter(({ metadata }) => metadata !== undefined && 'finalizers' in metadata),
    [],
  );
});

for (const [layout, files] of [
  ['icp', { '/etc/cfc/kubelet/kubelet-config': '{}\n' }],
  ['kubeadm', {}],
] as const)
  void t.test(`a ${layout} node gets back byte for byte what it had`, { skip }, async (t) => {
    const node = await bootNode({ layout, files }, t);
    const units = '/etc/systemd/system';
    // Files and links: an empty drop-in directory, which may stay, means nothing to systemd.
    const listed = (): readonly string[] =>
      readdirSync(path.join(node.dir, units), { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => path.relative(path.join(node.dir, units), path.join(entry.parentPath, entry.name)))
        .sort();
    const before = listed();
    const bytes = readUnits(node, before);
    const applied = await node.agent(['apply', '--allow=net.core.somaxconn', '--probation=1s']);
    t.equal(applied.code, 0, applied.stdout + applied.stderr);
    t.equal((await node.admit('net.core.somaxconn=512')).admitted, true);

    // `--narrowing Allow`: this node has no container runtime that could tell which pods run.
    const restored = await node.agent(['apply', '--existing=Remove', '--narrowing=Allow', '--probation=1s']);
    t.equal(restored.code, 0, restored.stdout + restored.stderr);
    t.equal((await node.admit('net.core.somaxconn=512')).admitted, false);
    t.strictSame(listed(), before, 'no file more and none less');
    t.strictSame(readUnits(node, before), bytes);
    t.equal(await node.property('ActiveState'), 'active');
  });

function readUnits(
  node: Awaited<ReturnType<typeof bootNode>>,
  names: readonly string[],
): Readonly<Record<string, string>> {
  const read = (name: string): string => {
    try {
      return node.read(`/etc/systemd/system/${name}`).toString();
    } catch {
      return 'no file';
    }
  };
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}
