import { readFileSync, statSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';

export interface TlsFiles {
  /** PEM: the certificate, then its chain. */
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsOptions extends TlsFiles {
  /** How often the files are looked at: two stats. */
  readonly everyMs?: number;
  /** Told when the files changed and could not be taken; the old certificate stays in use. */
  readonly failed: (reason: string) => void;
}

/**
 * A server with a certificate from files, taken anew when they change (a mounted Secret swaps them under a symlink).
 * node:https is only loaded here: OpenSSL's memory is paid by those who ask for TLS. @throws where the first reading fails.
 */
export function tlsServer(options: TlsOptions): (listener: RequestListener) => Promise<Server> {
  const { certFile, keyFile, everyMs = 10_000, failed } = options;
  return async (listener) => {
    const { createServer } = await import('node:https');
    let seen = fingerprint(options);
    const server = createServer(
      { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.2' },
      listener,
    );
    const timer = setInterval(() => {
      const now = fingerprint(options);
      if (now === seen) return;
      try {
        server.setSecureContext({
          cert: readFileSync(certFile),
          key: readFileSync(keyFile),
          minVersion: 'TLSv1.2',
        });
        seen = now;
      } catch (error) {
        // Certificate and key are two files: between their two changes they do not fit. Tried again next time.
        failed(error instanceof Error ? error.message : String(error));
      }
    }, everyMs);
    timer.unref();
    server.on('close', () => {
      clearInterval(timer);
    });
    return server;
  };
}

function fingerprint({ certFile, keyFile }: TlsFiles): string {
  return [certFile, keyFile]
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
    })
    .join(' ');
}
