import { nodesUnavailable } from './project.ts';
import { realKubeletUnavailable } from './real-kubelet.ts';

/** The root that nodes are made of: NODE_ROOT, else this machine's own. */
export function lowerRoot(): string {
  return process.env['NODE_ROOT'] ?? '/';
}

/** Why no throw-away node can be booted here, for `t.skip(reason)`; undefined when one can. */
export function nodeTierUnavailable(): string | undefined {
  return nodesUnavailable() ?? realKubeletUnavailable(lowerRoot());
}
