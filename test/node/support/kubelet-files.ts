import type { TestNode } from './node.ts';

/** Names, kinds, modes, owners and contents of everything on a node that says how its kubelet is started. */
export async function kubeletFiles(node: TestNode): Promise<string> {
  const places =
    '/etc/systemd /etc/default /etc/cfc /etc/kubernetes /usr/lib/systemd/system/kubelet.service*';
  const script = `find ${places} -exec stat -c '%N %F %a %u %g' {} + 2>/dev/null | sort
    find ${places} -type f -exec sha256sum {} + 2>/dev/null | sort`;
  return (await node.exec(['sh', '-c', script])).stdout;
}
