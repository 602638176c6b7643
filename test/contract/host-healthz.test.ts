import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { unreachable } from '../../agent/errors.ts';
import {
  type Healthz,
  type HealthzTarget,
  probeHealthz,
  type ProbeHealthz,
} from '../../agent/host/healthz.ts';
import { type FakeAnswer, fakeHealthz } from '../support/host/healthz.ts';

interface Harness {
  readonly probe: ProbeHealthz;
  readonly port: number;
}

const harnesses: Readonly<Record<string, (t: Test, answer: FakeAnswer) => Promise<Harness>>> = {
  real: async (t, answer) => {
    switch (answer.kind) {
      case 'responds': {
        const server = createHttpServer((_request, response) => {
          response.writeHead(answer.status);
          response.end(answer.body);
        });
        return { probe: probeHealthz, port: await listen(t, server) };
      }
      case 'silent':
        return {
          probe: probeHealthz,
          port: await listen(
            t,
            createServer(() => undefined),
          ),
        };
      case 'absent':
        return { probe: probeHealthz, port: await unusedPort() };
      default:
        return unreachable(answer);
    }
  },
  fake: async (_t, answer) => {
    const fake = fakeHealthz();
    fake.answer(answer);
    return { probe: async (target) => fake.probe(target), port: 10248 };
  },
};

for (const [name, build] of Object.entries(harnesses)) {
  void test(`the ${name} healthz probe`, async (t) => {
    const ask = async (t: Test, answer: FakeAnswer, more: Partial<HealthzTarget> = {}): Promise<Healthz> => {
      const { probe, port } = await build(t, answer);
      return probe({
        address: '127.0.0.1',
        port,
        deadlineMs: answer.kind === 'silent' ? 50 : 10_000,
        ...more,
      });
    };

    await t.test('calls 200 with ok healthy', async (t) => {
      t.strictSame(await ask(t, { kind: 'responds', status: 200, body: 'ok' }), { kind: 'ok' });
    });

    await t.test('calls nothing else healthy', async (t) => {
      const answers = [
        [200, 'OK'],
        [200, 'ok\n'],
        [200, ' ok'],
        [200, ''],
        [200, '<html>ok</html>'],
        [200, '[-]ping failed'],
        [500, 'ok'],
        [401, 'Unauthorized'],
        [301, 'ok'],
        [404, '404 page not found\n'],
      ] as const;
      for (const [status, body] of answers) {
        t.strictSame(await ask(t, { kind: 'responds', status, body }), { kind: 'unhealthy', status, body });
      }
    });

    await t.test('says off when nobody listens', async (t) => {
      t.match(await ask(t, { kind: 'absent' }), { kind: 'off', reason: /ECONNREFUSED/ });
    });

    await t.test('gives up at the deadline', async (t) => {
      t.strictSame(await ask(t, { kind: 'silent' }), { kind: 'timedOut' });
    });

    await t.test('throws the reason of an abort', async (t) => {
      const signal = AbortSignal.abort(new Error('shutting down'));
      await t.rejects(ask(t, { kind: 'responds', status: 200, body: 'ok' }, { signal }), {
        message: 'shutting down',
      });
    });
  });
}

void test('the probe gives up on an answer that drips past the deadline', async (t) => {
  const port = await listen(
    t,
    createServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
      const drip = setInterval(() => socket.write('o'), 5);
      socket.on('close', () => clearInterval(drip));
    }),
  );
  const healthz = await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 80 });
  t.strictSame(healthz, { kind: 'timedOut' }, 'the deadline counts from the start, not from the last byte');
});

void test('the probe can be aborted while it waits', async (t) => {
  const server = createServer(() => undefined);
  const port = await listen(t, server);
  const stop = new AbortController();
  const asked = probeHealthz({ address: '127.0.0.1', port, deadlineMs: 60_000, signal: stop.signal });
  await once(server, 'connection');
  stop.abort(new Error('enough'));
  await t.rejects(asked, { message: 'enough' });
});

void test('the probe keeps no connection', async (t) => {
  const server = createHttpServer((_request, response) => response.end('ok'));
  server.keepAliveTimeout = 60_000;
  const port = await listen(t, server);
  const ended = new Promise<void>((resolve) => {
    server.on('connection', (socket: Socket) => socket.on('close', () => resolve()));
  });
  t.strictSame(await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 10_000 }), { kind: 'ok' });
  await ended;
  t.pass('the connection is closed although the server would keep it');
});

void test('the probe does not swallow an endless body', async (t) => {
  const server = createHttpServer((_request, response) => {
    response.writeHead(200);
    const more = (): void => {
      while (response.write('o'.repeat(4096)));
    };
    response.on('drain', more);
    more();
  });
  const port = await listen(t, server);
  const healthz = await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 10_000 });
  t.strictSame(healthz, { kind: 'unhealthy', status: 200, body: 'o'.repeat(1024) });
});

void test('the probe calls an answer that is no HTTP unhealthy', async (t) => {
  const port = await listen(
    t,
    createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
  );
  const healthz = await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 10_000 });
  t.match(healthz, { kind: 'unhealthy', status: undefined, body: /Parse Error/ });
});

void test('the probe calls a connection that is cut unhealthy, not off', async (t) => {
  const port = await listen(
    t,
    createServer((socket) => socket.destroy()),
  );
  const healthz = await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 10_000 });
  t.match(healthz, { kind: 'unhealthy', status: undefined });
});

void test('the probe asks for /healthz as a plain GET', async (t) => {
  const seen: string[] = [];
  const server = createHttpServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end('ok');
  });
  const port = await listen(t, server);
  await probeHealthz({ address: '127.0.0.1', port, deadlineMs: 10_000 });
  t.strictSame(seen, ['GET /healthz']);
});

for (const [bound, asked] of [
  ['0.0.0.0', '0.0.0.0'],
  ['::', '::'],
  ['::1', '::1'],
  ['127.0.0.1', ''],
  ['127.0.0.1', 'localhost'],
] as const) {
  void test(`the probe finds a kubelet bound to ${bound} when told "${asked}"`, async (t) => {
    const server = createHttpServer((_request, response) => response.end('ok'));
    const port = await listen(t, server, bound);
    t.strictSame(await probeHealthz({ address: asked, port, deadlineMs: 10_000 }), { kind: 'ok' });
  });
}

async function listen(t: Test, server: Server, address = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return (server.address() as AddressInfo).port;
}

async function unusedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
