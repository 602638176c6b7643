import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { test } from 'tap';
import { reviewedAuthorizer, type ScrapeVerdict } from '../../../agent/metrics/authorization.ts';
import { type ServedFacts, type ServerOptions, serveMetrics } from '../../../agent/metrics/server.ts';
import { tlsServer } from '../../../agent/metrics/tls.ts';
import { waitFor } from '../../node/support/wait.ts';

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
  readonly subject: string | undefined;
}

async function ask(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  options: { tls?: boolean; method?: string } = {},
): Promise<Answer> {
  const request = options.tls === true ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path,
        headers,
        agent: false,
        rejectUnauthorized: false,
        method: options.method ?? 'GET',
      },
      (response) => {
        let body = '';
        const socket = response.socket as { getPeerCertificate?: () => { subject?: { CN?: string } } };
        const subject = socket.getPeerCertificate?.().subject?.CN;
        response.setEncoding('utf8');
        response.on('data', (text: string) => (body += text));
        response.on('end', () => {
          resolve({ status: response.statusCode, type: response.headers['content-type'], body, subject });
        });
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}

const facts: ServedFacts = {
  text: async () => Promise.resolve('# HELP a_total A.\n# TYPE a_total counter\na_total 1\n'),
  live: () => Buffer.from('# HELP g G.\n# TYPE g gauge\ng{x="ü"} 2\n'),
  scraped: () => undefined,
  alive: () => ({ ok: true, message: 'ok' }),
  ready: () => ({ ok: false, message: 'the node was not seen' }),
};
const plain: ServerOptions = { host: '127.0.0.1', port: 0, authorizer: undefined, tls: undefined };

void test('the server answers in the format that the client prefers', async (t) => {
  const server = await serveMetrics(facts, plain);
  t.teardown(async () => server.close());
  const text = {
    status: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    body: '# HELP a_total A.\n# TYPE a_total counter\na_total 1\n# HELP g G.\n# TYPE g gauge\ng{x="ü"} 2\n',
  };
  const open = {
    status: 200,
    type: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
    body: '# HELP a A.\n# TYPE a counter\na_total 1\n# HELP g G.\n# TYPE g gauge\ng{x="ü"} 2\n# EOF\n',
  };
  t.match(await ask(server.port, '/metrics'), text);
  t.match(
    await ask(server.port, '/metrics?x=1', { accept: 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1' }),
    text,
  );
  t.match(
    await ask(server.port, '/metrics', {
      accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5',
    }),
    open,
    'what Prometheus 2 sends',
  );
  t.match(
    await ask(server.port, '/metrics', {
      accept: 'text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.2',
    }),
    text,
  );
  t.match(await ask(server.port, '/metrics', {}, { method: 'HEAD' }), { status: 200, body: '' });
});

void test('health is told with its reason, and everything else is refused', async (t) => {
  const server = await serveMetrics(facts, plain);
  t.teardown(async () => server.close());
  t.match(await ask(server.port, '/livez'), { status: 200, body: 'ok\n' });
  t.match(await ask(server.port, '/readyz'), { status: 503, body: 'the node was not seen\n' });
  t.match(await ask(server.port, '/'), { status: 404 });
  t.match(await ask(server.port, '/metrics', {}, { method: 'POST' }), { status: 405 });
});

void test('whoever may not read the metrics does not, and probes need no token', async (t) => {
  const verdicts: Record<string, Exclude<ScrapeVerdict, 'unknown'>> = {
    good: 'allowed',
    bad: 'unauthenticated',
    poor: 'forbidden',
  };
  let asked = 0;
  let nowMs = 0;
  const failures: unknown[] = [];
  const authorizer = reviewedAuthorizer({
    monotonic: () => nowMs,
    failed: (error) => failures.push(error),
    async review(token) {
      asked += 1;
      const verdict = verdicts[token];
      if (verdict === undefined) throw new Error('no API server');
      return Promise.resolve(verdict);
    },
  });
  const server = await serveMetrics(facts, { ...plain, authorizer });
  t.teardown(async () => server.close());
  const status = async (token?: string): Promise<number | undefined> =>
    (await ask(server.port, '/metrics', token === undefined ? {} : { authorization: `Bearer ${token}` }))
      .status;
  t.same(
    [
      await status(),
      await status('bad'),
      await status('poor'),
      await status('good'),
      await status('silence'),
    ],
    [401, 401, 403, 200, 503],
  );
  t.equal((await ask(server.port, '/livez')).status, 200);
  asked = 0;
  await Promise.all([status('good'), status('good'), status('poor')]);
  t.equal(asked, 0, 'answers are remembered');
  await status('silence');
  t.equal(asked, 1, 'silence is not');
  t.equal(failures.length, 1, 'and is told once');
  verdicts['poor'] = 'allowed';
  verdicts['good'] = 'forbidden';
  nowMs = 9_999;
  t.equal(await status('poor'), 403, 'a no holds for ten seconds');
  nowMs = 10_000;
  t.equal(await status('poor'), 200);
  nowMs = 59_999;
  t.equal(await status('good'), 200, 'a yes for a minute');
  nowMs = 60_000;
  t.equal(await status('good'), 403);
  await status('silence');
  t.equal(failures.length, 2, 'silence after an answer is told again');
});

void test('requests that come together ask once, and guessed tokens do not push out a good one', async (t) => {
  let asked = 0;
  const answers: (() => void)[] = [];
  const authorizer = reviewedAuthorizer({
    monotonic: () => 0,
    failed: () => undefined,
    async review(token) {
      asked += 1;
      await new Promise<void>((resolve) => answers.push(resolve));
      return token === 'good' ? 'allowed' : 'unauthenticated';
    },
  });
  const authorize = async (...tokens: readonly string[]): Promise<readonly ScrapeVerdict[]> => {
    const verdicts = Promise.all(tokens.map(async (token) => authorizer.authorize(token)));
    for (const answer of answers.splice(0)) answer();
    return verdicts;
  };
  t.strictSame(await authorize('good', 'good', 'good'), ['allowed', 'allowed', 'allowed']);
  t.equal(asked, 1);
  for (let guess = 0; guess < 1000; guess += 1) await authorize(`guess ${guess}`);
  asked = 0;
  t.strictSame(await authorize('good'), ['allowed']);
  t.equal(asked, 0, 'still remembered');
});

void test('TLS is served from files, and a new certificate is taken without a restart', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'tls-'));
  t.teardown(() => {
    rmSync(home, { recursive: true, force: true });
  });
  const make = (name: string): void => {
    execaSync('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      join(home, 'new.key'),
      '-out',
      join(home, 'new.crt'),
    ]);
    renameSync(join(home, 'new.crt'), join(home, 'tls.crt'));
  };
  const certFile = join(home, 'tls.crt');
  const keyFile = join(home, 'tls.key');
  make('first');
  renameSync(join(home, 'new.key'), keyFile);
  const failures: string[] = [];
  const server = await serveMetrics(facts, {
    ...plain,
    tls: tlsServer({ certFile, keyFile, everyMs: 20, failed: (reason) => failures.push(reason) }),
  });
  t.teardown(async () => server.close());
  t.match(await ask(server.port, '/livez', {}, { tls: true }), { status: 200, subject: 'first' });
  make('second');
  await waitFor(() => failures.length > 0, { what: 'a certificate without its key to be refused' });
  t.equal((await ask(server.port, '/livez', {}, { tls: true })).subject, 'first', 'the old one stays');
  renameSync(join(home, 'new.key'), keyFile);
  await waitFor(async () => (await ask(server.port, '/livez', {}, { tls: true })).subject === 'second', {
    what: 'the new certificate',
  });
  writeFileSync(certFile, 'garbage');
  await waitFor(() => failures.length > 1, { what: 'garbage to be refused' });
  t.equal((await ask(server.port, '/livez', {}, { tls: true })).subject, 'second');
});
