import { readFile } from 'node:fs/promises';
import { AgentError } from '../errors.ts';

/** What one connection needs to trust the server and to be known to it. PEM texts. */
export interface Credentials {
  readonly ca?: string;
  readonly token?: string;
  readonly clientCertificate?: { readonly certificate: string; readonly key: string };
  /** Only for kubeconfig files that say so themselves. */
  readonly insecure?: boolean;
}

/** A server and how to come by credentials; `fresh` asks for ones that were not refused just now. */
export interface ApiTarget {
  readonly server: URL;
  readonly credentials: (fresh: boolean) => Promise<Credentials>;
  readonly tlsServerName?: string;
}

export interface InClusterPlace {
  readonly host: string;
  readonly port: string;
  /** Holds `token`, `ca.crt` and `namespace`. */
  readonly directory: string;
}

const defaultDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Where the API server is for a pod; undefined outside of one. */
export function inClusterPlace(
  env: Readonly<Record<string, string | undefined>>,
): InClusterPlace | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (host === undefined || host === '') return undefined;
  return { host, port: port === undefined || port === '' ? '443' : port, directory: defaultDirectory };
}

/**
 * The service account of this pod. Token and CA are read again once a minute and whenever the server refuses them: the
 * kubelet replaces bound tokens long before they expire. @throws AgentError API_UNREACHABLE where they cannot be read.
 */
export function inClusterTarget(place: InClusterPlace, monotonic: () => number): ApiTarget {
  const { host, port, directory } = place;
  let known: { readonly credentials: Credentials; readonly readAtMs: number } | undefined;
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    credentials: async (fresh) => {
      if (!fresh && known !== undefined && monotonic() - known.readAtMs < keepMs) return known.credentials;
      const [token, ca] = await Promise.all([read(`${directory}/token`), read(`${directory}/ca.crt`)]);
      known = { credentials: { token: token.trim(), ca }, readAtMs: monotonic() };
      return known.credentials;
    },
  };
}

/** This pod's way to its API server; undefined outside of a pod. Reads nothing yet. */
export function inCluster(
  env: Readonly<Record<string, string | undefined>>,
  clock: { monotonic(): number },
): { readonly target: ApiTarget; readonly namespace: () => Promise<string> } | undefined {
  const place = inClusterPlace(env);
  return (
    place && {
      target: inClusterTarget(place, () => clock.monotonic()),
      namespace: async () => inClusterNamespace(place),
    }
  );
}

/** The namespace of this pod. @throws AgentError API_UNREACHABLE where it cannot be read. */
async function inClusterNamespace(place: InClusterPlace): Promise<string> {
  return (await read(`${place.directory}/namespace`)).trim();
}

const keepMs = 60_000;

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new AgentError('API_UNREACHABLE', `the service account's ${path} cannot be read`, {
      cause,
      next: 'mount the service account token into the pod (automountServiceAccountToken), or run without a cluster',
    });
  }
}
