import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { unreachable } from '../errors.ts';
import type { ScrapeAuthorizer, ScrapeVerdict } from './authorization.ts';
import { toOpenMetrics } from './exposition.ts';

/** What the server shows; each is asked at every request. */
export interface ServedFacts {
  /** Series that only change when the loop moves, in the text format. */
  text(): Promise<string>;
  /** Gauges read at this very moment. */
  live(): Buffer;
  /** Called after each answer. */
  scraped(): void;
  alive(): Health;
  ready(): Health;
}

export interface Health {
  readonly ok: boolean;
  /** One line for a person. */
  readonly message: string;
}

export interface ServerOptions {
  /** `:9877` means every address. */
  readonly host: string | undefined;
  readonly port: number;
  readonly authorizer: ScrapeAuthorizer | undefined;
  /** Makes a server that speaks TLS; undefined: plain HTTP. */
  readonly tls: ((listener: RequestListener) => Promise<Server>) | undefined;
}

/** Serves /metrics, /livez and /readyz. @throws the system's error where the address cannot be had. */
export async function serveMetrics(
  facts: ServedFacts,
  options: ServerOptions,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const encode = lastEncoded();
  const listener: RequestListener = (request, response) => {
    answer({ facts, encode, authorizer: options.authorizer }, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  };
  const server = options.tls === undefined ? createServer(listener) : await options.tls(listener);
  // Longer than the usual scrape interval: a connection that is kept costs less than a new one each time.
  server.keepAliveTimeout = 75_000;
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(
      { port: options.port, ...(options.host === undefined ? {} : { host: options.host }) },
      resolve,
    );
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      server.closeAllConnections();
      await closed;
    },
  };
}

const textType = 'text/plain; version=0.0.4; charset=utf-8';
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

interface Serving {
  readonly facts: ServedFacts;
  readonly encode: Encode;
  readonly authorizer: ScrapeAuthorizer | undefined;
}

async function answer(serving: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  switch (request.url?.split('?', 1)[0] ?? '') {
    case '/metrics':
      return metrics(serving, request, response);
    case '/livez':
      sayHealth(response, serving.facts.alive());
      return;
    case '/readyz':
      sayHealth(response, serving.facts.ready());
      return;
    default:
      response.writeHead(404).end();
  }
}

async function metrics(
  { facts, encode, authorizer }: Serving,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (authorizer !== undefined) {
    const verdict = await authorizer.authorize(bearerOf(request));
    if (verdict !== 'allowed') {
      turnAway(response, verdict);
      return;
    }
  }
  const openMetrics = wantsOpenMetrics(request.headers.accept ?? '');
  const text = await facts.text();
  // In pieces that are kept from scrape to scrape: joining them would make garbage of the whole body each time.
  const pieces = [
    encode(text, openMetrics ? 'open' : 'plain'),
    facts.live(),
    ...(openMetrics ? [endOfFile] : []),
  ];
  response.writeHead(200, {
    'content-type': openMetrics ? openMetricsType : textType,
    'content-length': pieces.reduce((sum, { length }) => sum + length, 0),
  });
  response.cork();
  if (request.method !== 'HEAD') for (const piece of pieces) response.write(piece);
  response.end();
  facts.scraped();
}

function turnAway(response: ServerResponse, verdict: Exclude<ScrapeVerdict, 'allowed'>): void {
  const plain = { 'content-type': 'text/plain; charset=utf-8' };
  switch (verdict) {
    case 'unauthenticated':
      response.writeHead(401, { ...plain, 'www-authenticate': 'Bearer' });
      response.end('a bearer token that the API server takes is needed\n');
      return;
    case 'forbidden':
      response.writeHead(403, plain).end('this token may not get the non-resource URL /metrics\n');
      return;
    case 'unknown':
      response.writeHead(503, plain).end('the API server did not say who may read this\n');
      return;
    default:
      unreachable(verdict);
  }
}

const endOfFile = Buffer.from('# EOF\n');

type Format = 'plain' | 'open';
type Encode = (text: string, format: Format) => Buffer;

/** Encodes a text once for each format: it is the same string at most scrapes. */
function lastEncoded(): Encode {
  const last: Partial<Record<Format, { readonly text: string; readonly bytes: Buffer }>> = {};
  return (text, format) => {
    const kept = last[format];
    if (kept?.text === text) return kept.bytes;
    const bytes = Buffer.from(format === 'open' ? toOpenMetrics(text) : text, 'utf8');
    last[format] = { text, bytes };
    return bytes;
  };
}

/** The media type with the greater weight; the text format where the client does not care. */
function wantsOpenMetrics(accept: string): boolean {
  const weight = (type: RegExp): number => {
    const range = accept.split(',').find((part) => type.test(part.trim()));
    if (range === undefined) return 0;
    const given = /;\s*q=([\d.]+)/.exec(range)?.[1];
    return given === undefined ? 1 : Number(given);
  };
  const open = weight(/^application\/openmetrics-text(?!.*version=(?!1\.0\.0|0\.0\.1))/);
  return open > 0 && open >= weight(/^text\/plain/);
}

function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
}

function sayHealth(response: ServerResponse, health: Health): void {
  response.writeHead(health.ok ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${health.message}\n`);
}
