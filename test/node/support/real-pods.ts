import { execa } from 'execa';
import { z } from 'zod';
import type { TestNode } from './node.ts';

const manifests = '/etc/kubernetes/manifests';
/** An image that nobody has: a pod that waits for it was admitted. */
const noImage = 'registry.invalid/none:1';

const podSchema = z.object({
  metadata: z.object({ name: z.string() }),
  status: z
    .object({
      phase: z.string().optional(),
      reason: z.string().optional(),
      message: z.string().optional(),
      containerStatuses: z.array(z.unknown()).optional(),
    })
    .default({}),
});
export type Pod = z.infer<typeof podSchema>;

let counter = 0;

/** Gives a real kubelet a static pod, waits for its answer, and takes the pod away again. */
export async function admitForReal(
  node: TestNode,
  sysctls: readonly string[],
): Promise<{ admitted: boolean; message: string }> {
  const name = startPod(node, { sysctls });
  const { status } = await node.waitFor(async () => answered(await podOf(node, name)), {
    what: `the kubelet's answer to the pod ${name}`,
    deadlineMs: 30_000,
  });
  await stopPod(node, name);
  return status.phase === 'Failed'
    ? { admitted: false, message: `${status.message ?? ''}\n${status.reason ?? ''}` }
    : { admitted: true, message: 'Running' };
}

/** Writes the manifest of a static pod; its name. With an image of the node's store it can come to run. */
export function startPod(node: TestNode, pod: { sysctls: readonly string[]; image?: string }): string {
  const name = `p${++counter}`;
  const spec = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        sysctls: pod.sysctls.map((one) => {
          const [name, value] = one.split('=');
          return { name, value };
        }),
      },
      containers: [{ name: 'c', image: pod.image ?? noImage, imagePullPolicy: 'Never' }],
    },
  };
  node.write(`${manifests}/${name}.yaml`, JSON.stringify(spec));
  return name;
}

/** Takes a static pod away and waits until the kubelet has forgotten it. */
export async function stopPod(node: TestNode, name: string): Promise<void> {
  await node.exec(['rm', '-f', `${manifests}/${name}.yaml`]);
  await node.waitFor(async () => (await podOf(node, name)) === undefined, {
    what: `the pod ${name} to be gone`,
    deadlineMs: 60_000,
  });
}

/** What the kubelet itself says of a static pod; the API server's name for it ends in the node's. */
export async function podOf(node: TestNode, name: string): Promise<Pod | undefined> {
  const ask = ['-t', String(node.pid), '-n', '--', 'curl', '-sk', '-m', '5', 'https://127.0.0.1:10250/pods'];
  const { stdout } = await execa('nsenter', ask);
  const { items } = z.object({ items: z.array(podSchema).nullable() }).parse(JSON.parse(stdout));
  return items?.find((pod) => pod.metadata.name.startsWith(`${name}-`));
}

function answered(pod: Pod | undefined): Pod | undefined {
  return pod?.status.phase === 'Failed' || pod?.status.containerStatuses !== undefined ? pod : undefined;
}
