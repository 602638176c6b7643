import { AgentError } from '../errors.ts';
import { connectPod, type PodOptions } from './connect-pod.ts';
import { type OwnNode, nodeOfObject } from './own-node.ts';
import { type SlotGate, slotGate } from './slot-gate.ts';
import { leaseSlots } from './slots.ts';

/** What a one-shot change needs of its cluster: the slots, and its Node as it was when it began. */
export interface SlotConnection {
  readonly node: OwnNode;
  readonly gate: SlotGate;
  close(): void;
}

export interface SlotConnectionOptions extends PodOptions {
  readonly warn: (message: string) => void;
}

/**
 * Reads this pod's Node and connects to the slots of the agent's namespace.
 * @throws AgentError API_UNREACHABLE outside of a cluster or without an answer, API_REFUSED without the right to look at
 * the Node or without one of that name.
 */
export async function connectSlots(options: SlotConnectionOptions): Promise<SlotConnection> {
  const { nodeName, clock, random, warn } = options;
  const pod = await connectPod(options);
  if (pod === undefined) {
    throw new AgentError('API_UNREACHABLE', 'slots are kept by the API server, and there is none here', {
      next: 'run it in a pod with a service account, as manifests/jobs does, or leave --slots out',
    });
  }
  const { client, namespace } = pod;
  try {
    const answer = await client.ask({ method: 'GET', path: `/api/v1/nodes/${encodeURIComponent(nodeName)}` });
    const node = answer.kind === 'done' ? nodeOfObject(answer.object) : undefined;
    if (node === undefined) {
      const said = answer.kind === 'refused' ? `: ${answer.status} ${answer.message}` : '';
      throw new AgentError('API_REFUSED', `reading Node ${nodeName}${said}`, {
        next: 'set KSA_NODE_NAME to spec.nodeName, and give the service account the rights of manifests/parts/job',
      });
    }
    const uid = async (): Promise<string> => Promise.resolve(node.uid);
    const slots = leaseSlots({ client, clock, random, namespace, node: { name: nodeName, uid } });
    const gate = slotGate({ slots, clock, random, node: nodeName, warn });
    return {
      node,
      gate,
      close: () => {
        gate.close();
        client.close();
      },
    };
  } catch (error) {
    client.close();
    throw error;
  }
}
