import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ApiTarget } from '../../../agent/cluster/credentials.ts';

/** A kube-apiserver on an etcd of its own, both on the loopback address and in a throw-away directory. */
export interface RealApiServer {
  readonly target: ApiTarget;
  /** Stops the API server, not its etcd, and starts it again on the same port. */
  readonly restart: (whileAway: () => Promise<void>) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** @throws Error with the end of the log when it does not get ready within two minutes. */
export async function startRealApiServer(apiServer: string, etcd: string): Promise<RealApiServer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'ksa-api-'));
  const [client, peer, secure] = await Promise.all([freePort(), freePort(), freePort()]);
  const children: ChildProcess[] = [];
  const start = (program: string, flags: readonly string[], log: string): ChildProcess => {
    const child = spawn(program, flags, { stdio: ['ignore', 'pipe', 'pipe'] });
    const file = createWriteStream(path.join(directory, log), { flags: 'a' });
    child.stdout.pipe(file, { end: false });
    child.stderr.pipe(file, { end: false });
    children.push(child);
    return child;
  };
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  await Promise.all([
    writeFile(path.join(directory, 'sa.key'), privateKey),
    writeFile(path.join(directory, 'sa.pub'), publicKey),
    writeFile(path.join(directory, 'tokens.csv'), 'token-1,admin,admin,"system:masters"\n'),
  ]);
  start(
    etcd,
    [
      `--data-dir=${directory}/etcd`,
      `--listen-client-urls=http://127.0.0.1:${client}`,
      `--advertise-client-urls=http://127.0.0.1:${client}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
    ],
    'etcd.log',
  );
  const startServer = (): ChildProcess =>
    start(
      apiServer,
      [
        `--etcd-servers=http://127.0.0.1:${client}`,
        '--bind-address=127.0.0.1',
        '--advertise-address=127.0.0.1',
        `--secure-port=${secure}`,
        `--cert-dir=${directory}/certs`,
        `--token-auth-file=${directory}/tokens.csv`,
        '--authorization-mode=RBAC',
        '--service-cluster-ip-range=10.0.0.0/24',
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${directory}/sa.pub`,
        `--service-account-signing-key-file=${directory}/sa.key`,
        '--disable-admission-plugins=ServiceAccount,TaintNodesByCondition',
      ],
      'apiserver.log',
    );
  let server = startServer();
  const close = async (): Promise<void> => {
    await Promise.all(children.map(stop));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const ca = await waitFor(
      async () => readFile(path.join(directory, 'certs', 'apiserver.crt'), 'utf8').catch(() => undefined),
      async () => logEnd(directory),
    );
    const target: ApiTarget = {
      server: new URL(`https://127.0.0.1:${secure}`),
      credentials: async () => Promise.resolve({ ca, token: 'token-1' }),
    };
    await waitUntilReady(target, directory);
    return {
      target,
      restart: async (whileAway) => {
        await stop(server);
        await whileAway();
        server = startServer();
        await waitUntilReady(target, directory);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function waitUntilReady(target: ApiTarget, directory: string): Promise<void> {
  const { connectHttp } = await import('../../../agent/cluster/http.ts');
  const http = connectHttp(target, 'tests');
  try {
    await waitFor(
      async () => {
        const answer = await http
          .ask({ method: 'GET', path: '/readyz' }, { deadlineMs: 2_000 })
          .catch(() => undefined);
        return answer?.status === 200 ? true : undefined;
      },
      async () => logEnd(directory),
    );
  } finally {
    http.close();
  }
}

async function waitFor<T>(look: () => Promise<T | undefined>, explain: () => Promise<string>): Promise<T> {
  const end = performance.now() + 120_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`the API server did not get ready:\n${await explain()}`);
    await pause(100);
  }
}

async function logEnd(directory: string): Promise<string> {
  return (await readFile(path.join(directory, 'apiserver.log'), 'utf8')).slice(-2_000);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
    child.kill('SIGKILL');
  });
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => {
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
  });
}
