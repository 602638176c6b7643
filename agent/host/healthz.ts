import { request } from 'node:http';

/** What a kubelet's /healthz says. */
export type Healthz =
  | { readonly kind: 'ok' }
  /** Nobody listens: healthz may be switched off, or the kubelet is not there. */
  | { readonly kind: 'off'; readonly reason: string }
  /** Any other answer; status is undefined where it was none of HTTP's, and the body then says what came instead. */
  | { readonly kind: 'unhealthy'; readonly status: number | undefined; readonly body: string }
  | { readonly kind: 'timedOut' };

export interface HealthzTarget {
  /** healthzBindAddress; `0.0.0.0` and `::` are asked on the loopback address. */
  readonly address: string;
  /** healthzPort */
  readonly port: number;
  /** From the first packet to the last byte of the body. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Asks once. @throws the signal's reason when aborted; everything else is a value. */
export type ProbeHealthz = (target: HealthzTarget) => Promise<Healthz>;

const maxBodyBytes = 1024;

/**
 * Healthy is status 200 with the body `ok`, as the kubelet writes it, and nothing else: whatever else listens on that
 * port must not pass for a kubelet. A loopback address is the one of our own network namespace, so this means something
 * only in the host's.
 */
export const probeHealthz: ProbeHealthz = async ({ address, port, deadlineMs, signal }) => {
  signal?.throwIfAborted();
  const deadline = AbortSignal.timeout(deadlineMs);
  const stop = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  try {
    const { status, body } = await get(reachable(address), port, stop);
    return status === 200 && body === 'ok' ? { kind: 'ok' } : { kind: 'unhealthy', status, body };
  } catch (error) {
    signal?.throwIfAborted();
    if (deadline.aborted) return { kind: 'timedOut' };
    const reason = error instanceof Error ? error.message : String(error);
    return isRefusal(error)
      ? { kind: 'off', reason }
      : { kind: 'unhealthy', status: undefined, body: reason };
  }
};

/**
 * The kubelet listens on both families when told `::` (Go's net package clears IPV6_V6ONLY for it), and 127.0.0.1 is
 * there even where IPv6 is switched off.
 */
function reachable(address: string): string {
  return address === '' || address === '0.0.0.0' || address === '::' || address === '[::]'
    ? '127.0.0.1'
    : address;
}

async function get(
  host: string,
  port: number,
  signal: AbortSignal,
): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    // A connection of its own: one kept alive could be the previous kubelet's.
    const asked = request({
      host,
      port,
      path: '/healthz',
      agent: false,
      signal,
      headers: { connection: 'close' },
    });
    asked.on('error', reject);
    asked.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const answer = (): void => {
        resolve({
          status: response.statusCode,
          body: Buffer.concat(chunks).subarray(0, maxBodyBytes).toString('utf8'),
        });
      };
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size <= maxBodyBytes) return;
        answer();
        asked.destroy();
      });
      response.on('end', answer);
    });
    asked.end();
  });
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}
