import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { execa } from 'execa';
import { nodeBinary } from '../../node/support/project.ts';
import type { TestNode } from '../../node/support/node.ts';
import { namespace, type TestApi } from './api.ts';

/** The way of throw-away nodes, whose networks are their own, to the API server under test. */
export interface Bridge {
  /** Gives a node a service account, and an API server on its loopback address; the environment says where. */
  lead(node: TestNode): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
}

const port = 6443;

/** Over a socket file, which the nodes' relays reach from this machine's file system; always TLS, as in any cluster. */
export async function bridgeTo(api: TestApi): Promise<Bridge> {
  const directory = await mkdtemp(path.join(tmpdir(), 'ksa-bridge-'));
  const file = path.join(directory, 'api.sock');
  const { ca: own, token = '' } = await api.target.credentials(false);
  const ca = own ?? (await selfSigned(directory));
  const pipe = (one: Socket): void => {
    const other = connect(Number(api.target.server.port), api.target.server.hostname);
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  };
  // A real API server speaks TLS itself.
  const server: Server =
    own === undefined
      ? createTlsServer({ cert: ca, key: await readFile(path.join(directory, 'key.pem'), 'utf8') }, pipe)
      : createServer(pipe);
  await new Promise<void>((resolve) => server.listen(file, resolve));
  const relays: ChildProcess[] = [];
  return {
    lead: async (node) => {
      const account = '/var/run/secrets/kubernetes.io/serviceaccount';
      await node.exec(['mkdir', '-p', account]);
      const files = { token, 'ca.crt': ca, namespace };
      for (const [name, text] of Object.entries(files)) {
        node.write(`/run/secrets/kubernetes.io/serviceaccount/${name}`, text);
      }
      const relay = spawn(
        'nsenter',
        ['-t', String(node.pid), '-n', '--', nodeBinary(), '-e', relayProgram, file, String(port)],
        { stdio: ['ignore', 'pipe', 'inherit'], env: {} },
      );
      relays.push(relay);
      await new Promise<void>((resolve) =>
        relay.stdout.once('data', () => {
          resolve();
        }),
      );
      return {
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: String(port),
        KSA_NODE_NAME: node.name,
      };
    },
    close: async () => {
      for (const relay of relays) relay.kill('SIGKILL');
      server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const relayProgram = `
const net = require('node:net');
const [file, port] = process.argv.slice(1);
net.createServer((one) => {
  const other = net.connect(file);
  for (const [from, to] of [[one, other], [other, one]]) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
`;

async function selfSigned(directory: string): Promise<string> {
  const certificate = path.join(directory, 'cert.pem');
  const key = path.join(directory, 'key.pem');
  const wanted = ['-subj', '/CN=stand-in', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '1'];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await execa('openssl', ['req', '-x509', ...wanted, ...made, '-keyout', key, '-out', certificate]);
  return readFile(certificate, 'utf8');
}
