/** A running pod, as its sandbox was created. */
export interface RunningPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** As the container runtime got them: in the pod's spelling, and with what the runtime adds of its own. */
  readonly sysctls: Readonly<Record<string, string>>;
}

/** What the agent needs of an OCI bundle's config.json. */
export interface Bundle {
  readonly annotations: Readonly<Record<string, string>>;
  readonly sysctls: Readonly<Record<string, string>>;
}

/** Reads the text of a config.json. @throws Error when it is no JSON or has another shape. */
export function parseBundle(text: string): Bundle {
  const config: unknown = JSON.parse(text);
  if (!isRecord(config)) throw new Error('config.json holds no object');
  const linux = config['linux'];
  return {
    annotations: texts(config['annotations'], 'annotations'),
    sysctls: texts(isRecord(linux) ? linux['sysctl'] : undefined, 'linux.sysctl'),
  };
}

/**
 * The pod that a bundle of containerd's CRI plugin is the sandbox of; undefined for every other container. The uid has
 * an annotation of its own since containerd 1.6, and stood at the end of the log directory's name before.
 */
export function podOfContainerd({ annotations, sysctls }: Bundle, id: string): RunningPod | undefined {
  if (annotations['io.kubernetes.cri.container-type'] !== 'sandbox') return undefined;
  const [logNamespace, logName, logUid] = (annotations['io.kubernetes.cri.sandbox-log-directory'] ?? '')
    .replace(/^.*\//, '')
    .split('_');
  return {
    namespace: annotations['io.kubernetes.cri.sandbox-namespace'] ?? logNamespace ?? '',
    name: annotations['io.kubernetes.cri.sandbox-name'] ?? logName ?? id,
    uid: annotations['io.kubernetes.cri.sandbox-uid'] ?? logUid ?? id,
    sysctls,
  };
}

/** The pod that a bundle of CRI-O is the sandbox of; undefined for every other container. */
export function podOfCrio({ annotations, sysctls }: Bundle, id: string): RunningPod | undefined {
  if (annotations['io.kubernetes.cri-o.ContainerType'] !== 'sandbox') return undefined;
  return {
    namespace:
      annotations['io.kubernetes.cri-o.Namespace'] ?? annotations['io.kubernetes.pod.namespace'] ?? '',
    name: annotations['io.kubernetes.cri-o.KubeName'] ?? annotations['io.kubernetes.pod.name'] ?? id,
    uid: annotations['io.kubernetes.pod.uid'] ?? id,
    sysctls,
  };
}

/**
 * The pod that a container of docker is the sandbox of; undefined for every other one. Docker keeps labels out of the
 * bundle: they come from its own config.v2.json. @throws Error when that is no JSON or has another shape.
 */
export function podOfDocker({ sysctls }: Bundle, id: string, configV2: string): RunningPod | undefined {
  const container: unknown = JSON.parse(configV2);
  const config = isRecord(container) ? container['Config'] : undefined;
  if (!isRecord(config)) throw new Error('config.v2.json has no Config');
  const labels = texts(config['Labels'], 'Config.Labels');
  if (labels['io.kubernetes.docker.type'] !== 'podsandbox') return undefined;
  return {
    namespace: labels['io.kubernetes.pod.namespace'] ?? '',
    name: labels['io.kubernetes.pod.name'] ?? id,
    uid: labels['io.kubernetes.pod.uid'] ?? id,
    sysctls,
  };
}

function texts(value: unknown, what: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isRecord(value)) throw new Error(`${what} is no object`);
  const entries = Object.entries(value).map(([key, text]): [string, string] => {
    if (typeof text !== 'string') throw new Error(`${what}: ${key} is no text`);
    return [key, text];
  });
  return Object.fromEntries(entries);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
