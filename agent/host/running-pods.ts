import { constants } from 'node:fs';
import { access, open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { resolveInRoot } from './resolve-in-root.ts';
import {
  type Bundle,
  parseBundle,
  podOfContainerd,
  podOfCrio,
  podOfDocker,
  type RunningPod,
} from './oci-bundle.ts';

export type { RunningPod } from './oci-bundle.ts';

/** Which pods run on this node and which sysctls they use, or why that cannot be told. */
export type RunningPods =
  | { readonly kind: 'known'; readonly pods: readonly RunningPod[]; readonly runtime: string }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface RunningPodsQuestion {
  /** The host's root as we see it. */
  readonly root: string;
  /** The kubelet's containerRuntimeEndpoint, where it is known; without it every usual place is looked at. */
  readonly endpoint?: string;
}

export type ReadRunningPods = (question: RunningPodsQuestion) => Promise<RunningPods>;

/**
 * Reads the OCI bundles that container runtimes keep on the host: asks neither the API server nor the runtime, so that
 * it works while both are away. Known only when a runtime that serves a kubelet was found and every one of its bundles
 * could be read; a bundle that vanishes meanwhile is a pod that ended. Never throws.
 */
export const readRunningPods: ReadRunningPods = async ({ root, endpoint }) => {
  try {
    const places = endpoint === undefined ? usualPlaces : placesOf(endpoint);
    const found: { runtime: string; pods: readonly RunningPod[] }[] = [];
    for (const place of places) {
      const pods = await podsIn(place, root);
      // Without the kubelet's word for it, an empty place may be another runtime's than the kubelet's.
      if (pods === undefined || (endpoint === undefined && pods.length === 0)) continue;
      found.push({ runtime: place.runtime, pods });
    }
    if (found.length === 0) {
      const where = endpoint === undefined ? 'in the usual places' : `for ${endpoint}`;
      return { kind: 'unknown', reason: `no pods of a container runtime were found ${where} below ${root}` };
    }
    return {
      kind: 'known',
      pods: unique(found.flatMap(({ pods }) => pods)),
      runtime: [...new Set(found.map(({ runtime }) => runtime))].join('+'),
    };
  } catch (error) {
    return { kind: 'unknown', reason: error instanceof Error ? error.message : String(error) };
  }
};

interface Place {
  readonly runtime: 'containerd' | 'cri-o' | 'docker';
  /** containerd's `state`, or the `runroot` of CRI-O's storage. */
  readonly state: string;
}

const crioPlace: Place = { runtime: 'cri-o', state: '/run/containers/storage' };

// Docker runs a containerd of its own, or uses the system's under another containerd namespace.
const dockerPlaces: readonly Place[] = [
  { runtime: 'docker', state: '/run/docker/containerd/daemon' },
  { runtime: 'docker', state: '/run/containerd' },
];

const usualPlaces: readonly Place[] = [
  { runtime: 'containerd', state: '/run/containerd' },
  { runtime: 'containerd', state: '/run/k3s/containerd' },
  { runtime: 'containerd', state: '/run/k0s/containerd' },
  { runtime: 'containerd', state: '/var/snap/microk8s/common/run/containerd' },
  crioPlace,
  ...dockerPlaces,
];

function placesOf(endpoint: string): readonly Place[] {
  const socket = endpoint.replace(/^unix:(\/\/)?/, '');
  if (path.basename(socket).startsWith('crio')) return [crioPlace];
  if (/docker/.test(path.basename(socket))) return dockerPlaces;
  // k3s has the socket in the state directory, k0s and microk8s beside it.
  const directory = path.dirname(socket);
  return [directory, path.join(directory, 'containerd')].map((state) => ({ runtime: 'containerd', state }));
}

/** The pods of one place; undefined when there is no such runtime. @throws Error naming a bundle that is unreadable. */
async function podsIn(place: Place, root: string): Promise<readonly RunningPod[] | undefined> {
  switch (place.runtime) {
    case 'containerd':
      return fromTasks(root, place.state, 'k8s.io', async (bundle, id) => podOfContainerd(bundle, id));
    case 'docker':
      return fromTasks(root, place.state, 'moby', async (bundle, id) => {
        const file = `${await dockerDataRoot(root)}/containers/${id}/config.v2.json`;
        const text = await readIfThere(await resolveInRoot(root, file));
        if (text !== undefined) return podOfDocker(bundle, id, text);
        if (Object.keys(bundle.sysctls).length === 0) return undefined;
        throw new Error(`container ${id} uses sysctls, and ${file} does not tell whose it is`);
      });
    case 'cri-o':
      return fromCrio(root, place.state);
    default:
      return place.runtime satisfies never;
  }
}

type PodOf = (bundle: Bundle, id: string) => Promise<RunningPod | undefined>;

async function fromTasks(
  root: string,
  state: string,
  namespace: string,
  podOf: PodOf,
): Promise<readonly RunningPod[] | undefined> {
  const pods: RunningPod[] = [];
  let found = false;
  for (const plugin of ['io.containerd.runtime.v2.task', 'io.containerd.runtime.v1.linux']) {
    const tasks = await resolveInRoot(root, `${state}/${plugin}`);
    const namespaces = await directories(tasks);
    // containerd makes k8s.io with the first container, but a containerd without moby may be none of docker's.
    if (namespaces === undefined || (namespace === 'moby' && !namespaces.includes(namespace))) continue;
    found = true;
    const bundles = path.join(tasks, namespace);
    pods.push(...(await fromBundles(bundles, (id) => path.join(bundles, id, 'config.json'), podOf)));
  }
  return found ? pods : undefined;
}

async function fromCrio(root: string, runRoot: string): Promise<readonly RunningPod[] | undefined> {
  const storage = await resolveInRoot(root, runRoot);
  const drivers = (await directories(storage))?.filter((name) => name.endsWith('-containers'));
  if (drivers === undefined || drivers.length === 0) return undefined;
  const pods: RunningPod[] = [];
  for (const driver of drivers) {
    const bundles = path.join(storage, driver);
    const stopped = await resolveInRoot(root, `/var/lib/containers/storage/${driver}`);
    const found = await fromBundles(
      bundles,
      (id) => path.join(bundles, id, 'userdata', 'config.json'),
      // A pod that ended keeps its bundle until it is removed; CRI-O leaves this mark for its own restart.
      async (bundle, id) =>
        (await isThere(path.join(stopped, id, 'userdata', 'stopped'))) ? undefined : podOfCrio(bundle, id),
    );
    pods.push(...found);
  }
  return pods;
}

async function fromBundles(
  bundles: string,
  configOf: (id: string) => string,
  podOf: PodOf,
): Promise<readonly RunningPod[]> {
  const pods: RunningPod[] = [];
  for (const id of (await directories(bundles)) ?? []) {
    // containerd hides a bundle under a dot before it deletes it.
    if (id.startsWith('.')) continue;
    // Without a config.json it is being made or being removed: nothing of it runs.
    const text = await readIfThere(configOf(id));
    if (text === undefined) continue;
    try {
      const pod = await podOf(parseBundle(text), id);
      if (pod !== undefined) pods.push(pod);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${configOf(id)}: ${reason}`, { cause });
    }
  }
  return pods;
}

async function dockerDataRoot(root: string): Promise<string> {
  const text = await readIfThere(await resolveInRoot(root, '/etc/docker/daemon.json'));
  const daemon: unknown = text === undefined ? {} : JSON.parse(text);
  const dataRoot =
    typeof daemon === 'object' && daemon !== null && 'data-root' in daemon ? daemon['data-root'] : undefined;
  return typeof dataRoot === 'string' ? dataRoot : '/var/lib/docker';
}

/** A pod whose sandbox is being replaced has two bundles for a moment: all of their sysctls count. */
function unique(pods: readonly RunningPod[]): readonly RunningPod[] {
  const byUid = new Map<string, RunningPod>();
  for (const pod of pods) {
    const known = byUid.get(pod.uid);
    byUid.set(pod.uid, known === undefined ? pod : { ...pod, sysctls: { ...known.sysctls, ...pod.sysctls } });
  }
  return [...byUid.values()].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Real directories in a directory; undefined where there is none. @throws Error where it may not be read. */
async function directories(directory: string): Promise<readonly string[] | undefined> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

const maxConfigBytes = 16 * 1024 * 1024;

async function readIfThere(file: string): Promise<string | undefined> {
  let handle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > maxConfigBytes) throw new Error(`${file} is larger than ${maxConfigBytes} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
