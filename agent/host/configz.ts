import { readFileSync } from 'node:fs';

/** The kubelet's own word on its configuration, or why it gave none. */
export type Configz =
  | { readonly kind: 'known'; readonly allowedUnsafeSysctls: readonly string[] }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface ConfigzTarget {
  /** The kubelet's own port on this node; 10250 unless it was told otherwise. */
  readonly port: number;
  /** Read at every question: mounted tokens are replaced within the hour. */
  readonly tokenFile: string;
  /** PEM. Without it the certificate is not checked: most kubelets sign their own, and only root listens there. */
  readonly caFile: string | undefined;
  readonly deadlineMs: number;
}

// The whole configuration of a kubelet is about 5 KiB.
const maxBytes = 1024 * 1024;

/**
 * Asks /configz on the loopback address. Takes a token that may `get` nodes/configz (KubeletFineGrainedAuthz, 1.33) or
 * nodes/proxy. The list there is what the kubelet works with after flags, files and drop-ins. Never throws.
 */
export async function readConfigz(target: ConfigzTarget): Promise<Configz> {
  try {
    const body = await get(target);
    const list = allowlistOf(JSON.parse(body));
    return list === undefined
      ? { kind: 'unknown', reason: '/configz has another shape than a kubelet’s' }
      : { kind: 'known', allowedUnsafeSysctls: list };
  } catch (error) {
    return { kind: 'unknown', reason: `/configz: ${error instanceof Error ? error.message : String(error)}` };
  }
}

async function get({ port, tokenFile, caFile, deadlineMs }: ConfigzTarget): Promise<string> {
  const token = readFileSync(tokenFile, 'utf8').trim();
  // Here and not above: OpenSSL's memory is paid by those who ask.
  const { request } = await import('node:https');
  return new Promise((resolve, reject) => {
    const asked = request({
      host: '127.0.0.1',
      port,
      path: '/configz',
      agent: false,
      signal: AbortSignal.timeout(deadlineMs),
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
      rejectUnauthorized: caFile !== undefined,
      ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
    });
    asked.on('error', reject);
    asked.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxBytes) asked.destroy(new Error(`more than ${maxBytes} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new Error(`status ${response.statusCode ?? 0}`));
      });
    });
    asked.end();
  });
}

/** The list is left out of the answer where it is empty (omitempty). */
function allowlistOf(value: unknown): readonly string[] | undefined {
  if (!isRecord(value) || !isRecord(value['kubeletconfig'])) return undefined;
  const list = value['kubeletconfig']['allowedUnsafeSysctls'] ?? [];
  return Array.isArray(list) && list.every((entry) => typeof entry === 'string') ? list : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
