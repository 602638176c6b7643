import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface PodFixture {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly sysctls?: Readonly<Record<string, string>>;
}

/** The config.json of a sandbox as containerd's CRI plugin writes it. */
export function containerdSandbox(pod: PodFixture): object {
  return spec(pod, {
    'io.kubernetes.cri.container-type': 'sandbox',
    'io.kubernetes.cri.sandbox-id': pod.id,
    'io.kubernetes.cri.sandbox-log-directory': `/var/log/pods/${pod.namespace}_${pod.name}_${pod.uid}`,
    'io.kubernetes.cri.sandbox-name': pod.name,
    'io.kubernetes.cri.sandbox-namespace': pod.namespace,
    'io.kubernetes.cri.sandbox-uid': pod.uid,
  });
}

/** The config.json of one of the pod's own containers; sysctls are the sandbox's alone. */
export function containerdContainer(pod: PodFixture, name: string): object {
  return spec(
    { ...pod, sysctls: {} },
    {
      'io.kubernetes.cri.container-name': name,
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.image-name': 'registry.example/web:1',
      'io.kubernetes.cri.sandbox-id': pod.id,
      'io.kubernetes.cri.sandbox-name': pod.name,
      'io.kubernetes.cri.sandbox-namespace': pod.namespace,
      'io.kubernetes.cri.sandbox-uid': pod.uid,
    },
  );
}

/** The config.json of a sandbox as CRI-O writes it. */
export function crioSandbox(pod: PodFixture): object {
  return spec(pod, {
    'io.container.manager': 'cri-o',
    'io.kubernetes.container.name': 'POD',
    'io.kubernetes.cri-o.ContainerType': 'sandbox',
    'io.kubernetes.cri-o.KubeName': pod.name,
    'io.kubernetes.cri-o.Namespace': pod.namespace,
    'io.kubernetes.cri-o.SandboxID': pod.id,
    'io.kubernetes.pod.name': pod.name,
    'io.kubernetes.pod.namespace': pod.namespace,
    'io.kubernetes.pod.uid': pod.uid,
  });
}

/** The config.json of any container of docker: nothing in it says Kubernetes. */
export function dockerBundle(pod: PodFixture): object {
  return spec(pod, {});
}

/** Docker's own config.v2.json of a sandbox that dockershim or cri-dockerd asked for. */
export function dockerSandboxState(pod: PodFixture): object {
  return {
    ID: pod.id,
    Name: `/k8s_POD_${pod.name}_${pod.namespace}_${pod.uid}_0`,
    Config: {
      Hostname: pod.name,
      Labels: {
        'io.kubernetes.container.name': 'POD',
        'io.kubernetes.docker.type': 'podsandbox',
        'io.kubernetes.pod.name': pod.name,
        'io.kubernetes.pod.namespace': pod.namespace,
        'io.kubernetes.pod.uid': pod.uid,
      },
    },
  };
}

/** Writes a file below a root, as JSON unless it is text. Returns its full path. */
export function place(root: string, hostPath: string, content: object | string): string {
  const full = path.join(root, hostPath);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, typeof content === 'string' ? content : JSON.stringify(content));
  return full;
}

function spec(pod: PodFixture, annotations: Readonly<Record<string, string>>): object {
  return {
    ociVersion: '1.0.2-dev',
    process: { user: { uid: 65535, gid: 65535 }, args: ['/pause'], cwd: '/', noNewPrivileges: true },
    root: { path: 'rootfs', readonly: true },
    hostname: pod.name,
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] }],
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    linux: {
      ...(pod.sysctls === undefined || Object.keys(pod.sysctls).length === 0 ? {} : { sysctl: pod.sysctls }),
      cgroupsPath: `/kubepods/besteffort/pod${pod.uid}/${pod.id}`,
      namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'uts' }, { type: 'mount' }, { type: 'network' }],
    },
  };
}
