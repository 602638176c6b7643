/** What the audit needs of a pod, or of the template that a workload makes pods from. */
export interface PodTemplate {
  /** Of the workload that owns it, where it says so. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly hostNetwork: boolean;
  readonly hostIpc: boolean;
  /** Init containers first. */
  readonly containers: readonly PodContainer[];
}

export interface PodContainer {
  readonly name: string;
  readonly privileged: boolean;
  /** `command` and `args`; what the image itself starts is not to be seen. */
  readonly argv: readonly string[];
}

/** The pod templates in an object of the API: a Pod, a workload, a CronJob, or a List of such. Never throws. */
export function podTemplatesOf(object: unknown): readonly PodTemplate[] {
  const root = record(object);
  if (Array.isArray(root['items'])) return root['items'].flatMap(podTemplatesOf);
  const spec = record(root['spec']);
  const job = record(record(spec['jobTemplate'])['spec']);
  const podSpec =
    root['kind'] === 'Pod'
      ? spec
      : record(record((Object.keys(job).length > 0 ? job : spec)['template'])['spec']);
  if (!Array.isArray(podSpec['containers'])) return [];
  const metadata = record(root['metadata']);
  return [
    {
      ...owner(text(root['kind']), metadata),
      namespace: text(metadata['namespace']) || 'default',
      hostNetwork: podSpec['hostNetwork'] === true,
      hostIpc: podSpec['hostIPC'] === true,
      containers: [...containers(podSpec['initContainers']), ...containers(podSpec['containers'])],
    },
  ];
}

function owner(
  kind: string,
  metadata: Record<string, unknown>,
): { readonly kind: string; readonly name: string } {
  const [first] = Array.isArray(metadata['ownerReferences']) ? metadata['ownerReferences'].map(record) : [];
  if (first === undefined) return { kind, name: text(metadata['name']) };
  const name = text(first['name']);
  const hash = text(record(metadata['labels'])['pod-template-hash']);
  // A ReplicaSet of a Deployment is called like it, with the template's hash behind.
  return first['kind'] === 'ReplicaSet' && hash !== '' && name.endsWith(`-${hash}`)
    ? { kind: 'Deployment', name: name.slice(0, -hash.length - 1) }
    : { kind: text(first['kind']), name };
}

function containers(list: unknown): readonly PodContainer[] {
  if (!Array.isArray(list)) return [];
  return list.map(record).map((container) => ({
    name: text(container['name']),
    privileged: record(container['securityContext'])['privileged'] === true,
    argv: [...texts(container['command']), ...texts(container['args'])],
  }));
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [];
}
