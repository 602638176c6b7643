import { request as plainRequest, Agent as PlainAgent } from 'node:http';
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { request as tlsRequest, Agent as TlsAgent } from 'node:https';
import type { ApiTarget, Credentials } from './credentials.ts';

/** One question over HTTP. `path` holds its query. */
export interface HttpQuestion {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly fresh?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

export interface HttpConnection {
  /** @throws Error when no whole answer came within the deadline, and the signal's reason when aborted. */
  ask(question: HttpQuestion, limits: { deadlineMs: number; signal?: AbortSignal }): Promise<HttpAnswer>;
  /**
   * Reads an endless answer line by line until it ends, is cut, or stays silent for too long; `opened` is called when
   * the server said 200. Any other status is returned as a whole answer.
   */
  stream(
    question: HttpQuestion,
    limits: { deadlineMs: number; silenceMs: number; signal: AbortSignal },
    listener: { opened: () => void; line: (text: string) => void },
  ): Promise<HttpAnswer>;
  close(): void;
}

/** A small client over node:https with kept connections: the global fetch would cost every node 8 MiB and WebAssembly. */
export function connectHttp(target: ApiTarget, userAgent: string): HttpConnection {
  const tls = target.server.protocol === 'https:';
  const options = { keepAlive: true, maxSockets: 4, maxFreeSockets: 1 };
  // Watches hold their connections for hours: with a place among the others they would starve the requests.
  const streams = tls ? new TlsAgent() : new PlainAgent();
  const agent = tls ? new TlsAgent({ ...options, maxCachedSessions: 4 }) : new PlainAgent(options);

  const open = async (
    question: HttpQuestion,
    through: typeof agent,
    signal: AbortSignal,
    answered: (response: IncomingMessage) => void,
    failed: (error: Error) => void,
  ): Promise<ClientRequest> => {
    const credentials = await target.credentials(question.fresh ?? false);
    signal.throwIfAborted();
    const send = tls ? tlsRequest : plainRequest;
    const asked = send({ ...optionsOf(target, question, credentials, userAgent), agent: through, signal });
    asked.on('response', answered);
    asked.on('error', failed);
    asked.end(question.body);
    return asked;
  };

  return {
    ask: async (question, { deadlineMs, signal }) => {
      const deadline = AbortSignal.timeout(deadlineMs);
      const stop = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
      try {
        return await new Promise<HttpAnswer>((resolve, reject) => {
          open(
            question,
            agent,
            stop,
            (response) => void wholeAnswer(response).then(resolve, reject),
            reject,
          ).catch(reject);
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (deadline.aborted) throw new Error(`no answer within ${deadlineMs} ms`, { cause: error });
        throw error;
      }
    },
    stream: async (question, { deadlineMs, silenceMs, signal }, listener) =>
      new Promise<HttpAnswer>((resolve, reject) => {
        const stop = new AbortController();
        const cut = (reason: string): void => stop.abort(new Error(reason));
        let timer = setTimeout(() => cut(`no answer within ${deadlineMs} ms`), deadlineMs);
        const heard = (): void => {
          clearTimeout(timer);
          timer = setTimeout(() => cut(`silent for ${silenceMs} ms`), silenceMs);
        };
        const finish = (end: () => void): void => {
          clearTimeout(timer);
          end();
        };
        const failed = (error: Error): void => {
          const why: unknown = signal.aborted
            ? signal.reason
            : stop.signal.aborted
              ? stop.signal.reason
              : error;
          finish(() => reject(why instanceof Error ? why : error));
        };
        const answered = (response: IncomingMessage): void => {
          if (response.statusCode !== 200) {
            void wholeAnswer(response).then((answer) => finish(() => resolve(answer)), failed);
            return;
          }
          listener.opened();
          heard();
          // A watch is one connection for hours: a peer that vanished without a word is found by TCP itself.
          response.socket.setKeepAlive(true, 30_000);
          const lines = lineReader(listener.line);
          response.on('error', failed);
          response.on('data', (chunk: Buffer) => {
            heard();
            try {
              lines(chunk);
            } catch (error) {
              stop.abort(error);
            }
          });
          response.on('end', () => finish(() => resolve({ status: 200, retryAfter: undefined, body: '' })));
        };
        open(question, streams, AbortSignal.any([stop.signal, signal]), answered, failed).catch(failed);
      }),
    close: () => {
      agent.destroy();
      streams.destroy();
    },
  };
}

function optionsOf(
  { server, tlsServerName }: ApiTarget,
  { method, path, body, contentType = 'application/json' }: HttpQuestion,
  { ca, token, clientCertificate, insecure }: Credentials,
  userAgent: string,
): RequestOptions {
  const host = server.hostname.replace(/^\[|\]$/g, '');
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(clientCertificate === undefined
      ? {}
      : { cert: clientCertificate.certificate, key: clientCertificate.key }),
    ...(insecure === true ? { rejectUnauthorized: false } : {}),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
  };
  return {
    method,
    host,
    port: server.port === '' ? (server.protocol === 'https:' ? 443 : 80) : Number(server.port),
    path: `${server.pathname.replace(/\/$/, '')}${path}`,
    headers: {
      accept: 'application/json',
      'user-agent': userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined
        ? {}
        : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
    },
    ...(server.protocol === 'https:' ? tls : {}),
  };
}

const mostBytes = 64 * 1024 * 1024;

async function wholeAnswer(response: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > mostBytes) throw new Error(`an answer of more than ${mostBytes} bytes`);
  }
  return {
    status: response.statusCode ?? 0,
    retryAfter: response.headers['retry-after'],
    body: Buffer.concat(chunks).toString('utf8'),
  };
}

const mostLineBytes = 8 * 1024 * 1024;

/** Cuts bytes into lines; a multi-byte character may be split between two chunks, a line feed never is. */
function lineReader(line: (text: string) => void): (chunk: Buffer) => void {
  let kept: Buffer[] = [];
  let size = 0;
  return (chunk) => {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      const text = Buffer.concat([...kept, chunk.subarray(from, at)]).toString('utf8');
      kept = [];
      size = 0;
      from = at + 1;
      if (text !== '') line(text);
    }
    if (from === chunk.length) return;
    kept.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > mostLineBytes) throw new Error(`a watch event of more than ${mostLineBytes} bytes`);
  };
}
