import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { type Test, test } from 'tap';
import { type Configz, type ConfigzTarget, readConfigz } from '../../agent/host/configz.ts';

/** A kubelet's port with a certificate that it signed itself, for localhost. */
class Kubelet {
  readonly home: string;
  readonly target: ConfigzTarget;
  readonly asked: string[];

  private constructor(home: string, port: number, asked: string[]) {
    this.home = home;
    this.asked = asked;
    this.target = { port, tokenFile: join(home, 'token'), caFile: undefined, deadlineMs: 5_000 };
  }

  static async start(t: Test, listener: RequestListener): Promise<Kubelet> {
    const home = mkdtempSync(join(tmpdir(), 'configz-'));
    const [cert, key] = [join(home, 'tls.crt'), join(home, 'tls.key')];
    const named = ['-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execaSync('openssl', ['req', '-x509', ...curve, ...named, '-keyout', key, '-out', cert]);
    writeFileSync(join(home, 'token'), 'token-1\n');
    const asked: string[] = [];
    const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
      listener(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(home, { recursive: true, force: true });
    });
    return new Kubelet(home, (server.address() as AddressInfo).port, asked);
  }

  async read(over: Partial<ConfigzTarget> = {}): Promise<Configz> {
    return readConfigz({ ...this.target, ...over });
  }
}

/** A kubelet that always gives this answer. */
const saying =
  (body: string | object, status = 200): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };

void test('the list is what the kubelet says, and the token is read at every question', async (t) => {
  const list = ['net.core.somaxconn', 'kernel.msg*'];
  const kubelet = await Kubelet.start(t, saying({ kubeletconfig: { allowedUnsafeSysctls: list } }));
  const known = { kind: 'known', allowedUnsafeSysctls: list } as const;
  t.strictSame(await kubelet.read(), known);
  writeFileSync(kubelet.target.tokenFile, 'token-2');
  t.strictSame(await kubelet.read(), known);
  t.strictSame(kubelet.asked, ['GET /configz Bearer token-1', 'GET /configz Bearer token-2']);
});

void test('a list that is left out is empty', async (t) => {
  const kubelet = await Kubelet.start(t, saying({ kubeletconfig: { podPidsLimit: -1 } }));
  t.strictSame(await kubelet.read(), { kind: 'known', allowedUnsafeSysctls: [] });
});

void test('with a CA the certificate is checked', async (t) => {
  const kubelet = await Kubelet.start(t, saying({ kubeletconfig: {} }));
  t.equal((await kubelet.read({ caFile: join(kubelet.home, 'tls.crt') })).kind, 'known');
  const other = await Kubelet.start(t, saying({ kubeletconfig: {} }));
  t.match(await kubelet.read({ caFile: join(other.home, 'tls.crt') }), {
    kind: 'unknown',
    reason: /self-signed certificate/,
  });
});

const refusals: readonly [title: string, listener: RequestListener, reason: RegExp][] = [
  ['a token without the right', saying('Forbidden', 403), /^\/configz: status 403$/],
  ['a token that is none', saying('Unauthorized', 401), /^\/configz: status 401$/],
  ['no JSON', saying('<html>'), /is not valid JSON/],
  ['another shape', saying({ kubeletconfig: [] }), /another shape/],
  ['entries that are no text', saying({ kubeletconfig: { allowedUnsafeSysctls: [1] } }), /another shape/],
  ['more than a mebibyte', saying('x'.repeat(1024 * 1024 + 1)), /more than 1048576 bytes/],
  [
    'a connection that is cut half-way',
    (request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('{"kubeletconfig":', () => request.socket.destroy());
    },
    /^\/configz: /,
  ],
];

for (const [title, listener, reason] of refusals) {
  void test(`unknown, and why: ${title}`, async (t) => {
    const kubelet = await Kubelet.start(t, listener);
    t.match(await kubelet.read(), { kind: 'unknown', reason });
  });
}

void test('unknown, and why: silence, nobody there, no token', async (t) => {
  const silent = await Kubelet.start(t, () => undefined);
  t.match(await silent.read({ deadlineMs: 200 }), { kind: 'unknown', reason: /aborted/ });
  t.match(await silent.read({ port: 1 }), { kind: 'unknown', reason: /ECONNREFUSED/ });
  t.match(await silent.read({ tokenFile: '/nonexistent/token' }), { kind: 'unknown', reason: /ENOENT/ });
});
