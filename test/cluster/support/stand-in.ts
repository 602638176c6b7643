import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { isRecord, jsonPatch, mergePatch, type Operation } from './patches.ts';
import { type Reviewed, reviewAnswer } from './reviews.ts';
import { selector } from './selectors.ts';
import { type Change, Store, type Stored } from './store.ts';

/** What the server does to the next requests, instead of or besides answering them. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string }
  /** The request is carried out, and the connection is cut before the answer. */
  | { readonly kind: 'cutAfter' }
  | { readonly kind: 'cutBefore' }
  /** Half of the answer, then nothing. */
  | { readonly kind: 'stall' };

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly status: number | 'cut' | 'watch';
}

/** An API server in memory: versions, watches with bookmarks, conflicts, selectors, patches, tokens, and bad days. */
export class StandInApiServer {
  readonly store = new Store();
  readonly asked: Asked[] = [];
  tokens: readonly string[] = ['token-1'];
  reviewed: Reviewed = { users: {}, paths: {} };
  #faults: Fault[] = [];
  #isDown = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #watches = new Set<Watch>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(port = 0): Promise<StandInApiServer> {
    const server = createServer();
    const standIn = new StandInApiServer(server);
    server.on('connection', (socket) => {
      if (standIn.#isDown) socket.destroy();
      standIn.#sockets.add(socket);
      socket.on('close', () => standIn.#sockets.delete(socket));
    });
    server.on('request', (request, response) => void standIn.#handle(request, response));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return standIn;
  }

  get url(): URL {
    const { port } = this.#server.address() as AddressInfo;
    return new URL(`http://127.0.0.1:${port}`);
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** The next requests meet these, one each. */
  fail(...faults: readonly Fault[]): void {
    this.#faults.push(...faults);
  }

  bookmark(): void {
    for (const watch of this.#watches) watch.send('BOOKMARK', bookmarkOf(watch.kind, this.store.version));
  }

  /** Ends all watches in good order, as their time limit does. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end();
  }

  /** While it is down it cuts every connection. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
    if (isDown) this.cutConnections();
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** An event that says that the version was forgotten while the watch was open. */
  expireWatches(): void {
    for (const watch of this.#watches)
      watch.send('ERROR', {
        kind: 'Status',
        code: 410,
        reason: 'Expired',
        message: 'too old resource version',
      });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cutConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://stand-in');
    const method = request.method ?? 'GET';
    const note = (status: Asked['status']): void => {
      this.asked.push({ method, path: url.pathname, status });
    };
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const fault = this.#faults.shift();
    if (fault?.kind === 'cutBefore') {
      note('cut');
      request.socket.destroy();
      return;
    }
    if (fault?.kind === 'status') {
      note(fault.status);
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
      answer(response, failure(fault.status, 'Fault', 'asked to fail'));
      return;
    }
    const token = request.headers.authorization?.replace('Bearer ', '');
    if (!this.tokens.includes(token ?? '')) {
      note(401);
      answer(response, failure(401, 'Unauthorized', 'Unauthorized'));
      return;
    }
    const body: unknown =
      chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const review = method === 'POST' ? reviewAnswer(url.pathname, body, this.reviewed) : undefined;
    if (review !== undefined) {
      note(201);
      answer(response, { status: 201, body: review });
      return;
    }
    const place = placeOf(url.pathname);
    if (place === undefined) {
      note(404);
      answer(response, failure(404, 'NotFound', 'the server could not find the requested resource'));
      return;
    }
    if (method === 'GET' && place.name === undefined && url.searchParams.get('watch') === '1') {
      note('watch');
      this.#watch(place, url.searchParams, response);
      return;
    }
    const result = this.#answer(method, place, url.searchParams, body, request.headers['content-type'] ?? '');
    note(fault?.kind === 'cutAfter' ? 'cut' : result.status);
    if (fault?.kind === 'cutAfter') {
      request.socket.destroy();
    } else if (fault?.kind === 'stall') {
      const text = JSON.stringify(result.body);
      response.writeHead(result.status, { 'content-length': text.length });
      response.write(text.slice(0, text.length / 2));
    } else {
      answer(response, result);
    }
  }

  #answer(method: string, place: Place, query: URLSearchParams, body: unknown, type: string): Result {
    const { collection, namespace, name } = place;
    const { store } = this;
    if (name === undefined) {
      if (method === 'GET') return this.#list(place, query);
      if (method !== 'POST' || !isRecord(body)) return failure(405, 'MethodNotAllowed', method);
      const meta = isRecord(body['metadata']) ? body['metadata'] : {};
      const own =
        typeof meta['name'] === 'string' ? meta['name'] : `${String(meta['generateName'])}${store.version}`;
      if (store.get(collection, `${namespace}/${own}`) !== undefined)
        return failure(409, 'AlreadyExists', `${place.resource} "${own}" already exists`);
      const metadata = { ...meta, name: own, ...(namespace === '' ? {} : { namespace }) };
      return { status: 201, body: store.put(collection, `${namespace}/${own}`, { ...body, metadata }) };
    }
    const key = `${namespace}/${name}`;
    const present = store.get(collection, key);
    if (method === 'PATCH' && type.startsWith('application/apply-patch'))
      return this.#apply(place, key, body);
    if (present === undefined) return failure(404, 'NotFound', `${place.resource} "${name}" not found`);
    const { metadata } = present;
    switch (method) {
      case 'GET':
        return { status: 200, body: present };
      case 'DELETE': {
        const wanted = isRecord(body) && isRecord(body['preconditions']) ? body['preconditions'] : {};
        if (wanted['uid'] !== undefined && wanted['uid'] !== metadata.uid)
          return failure(409, 'Conflict', 'the UID in the precondition differs');
        store.delete(collection, key);
        return { status: 200, body: { kind: 'Status', status: 'Success' } };
      }
      case 'PUT':
      case 'PATCH': {
        const next =
          method === 'PUT'
            ? body
            : type.startsWith('application/json-patch')
              ? jsonPatch(present, body as readonly Operation[])
              : mergePatch(present, body);
        if (!isRecord(next))
          return failure(422, 'Invalid', 'the server rejected our request: testing failed');
        const meta = isRecord(next['metadata']) ? next['metadata'] : {};
        const conflict = (key: 'uid' | 'resourceVersion'): boolean =>
          meta[key] !== undefined && meta[key] !== metadata[key];
        if (conflict('uid') || conflict('resourceVersion'))
          return failure(
            409,
            'Conflict',
            'the object has been modified; please apply your changes to the latest version',
          );
        return { status: 200, body: store.put(collection, key, next) };
      }
      default:
        return failure(405, 'MethodNotAllowed', method);
    }
  }

  // One field manager alone: what it applies replaces what it applied before.
  #apply({ collection, namespace }: Place, key: string, body: unknown): Result {
    if (!isRecord(body)) return failure(400, 'BadRequest', 'no object');
    const present = this.store.get(collection, key);
    const meta = isRecord(body['metadata']) ? body['metadata'] : {};
    const metadata = { ...present?.metadata, ...meta, ...(namespace === '' ? {} : { namespace }) };
    return {
      status: present === undefined ? 201 : 200,
      body: this.store.put(collection, key, { ...body, metadata }),
    };
  }

  #list({ collection, namespace, kind }: Place, query: URLSearchParams): Result {
    const holds = selector(query);
    const all = this.store
      .list(collection)
      .filter((object) => inNamespace(object, namespace) && holds(object));
    const from = Number(query.get('continue') ?? '0');
    const limit = Number(query.get('limit') ?? '0');
    const items = limit === 0 ? all : all.slice(from, from + limit);
    const more = from + items.length < all.length;
    return {
      status: 200,
      body: {
        kind: `${kind}List`,
        metadata: {
          resourceVersion: String(this.store.version),
          ...(more ? { continue: String(from + items.length) } : {}),
        },
        items,
      },
    };
  }

  #watch({ collection, namespace, kind }: Place, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion') ?? '0');
    const missed = this.store.since(from);
    if (missed === undefined) {
      answer(response, failure(410, 'Expired', `too old resource version: ${from}`));
      return;
    }
    const holds = selector(query);
    const watch = new Watch(kind, response);
    const tell = (change: Change): void => {
      if (change.collection !== collection || !inNamespace(change.object, namespace)) return;
      const [was, is] = [change.before !== undefined && holds(change.before), holds(change.object)];
      if (change.type === 'DELETED' ? was : was || is)
        watch.send(change.type === 'DELETED' || !is ? 'DELETED' : was ? 'MODIFIED' : 'ADDED', change.object);
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const stop = this.store.listen(tell);
    this.#watches.add(watch);
    response.on('close', () => {
      stop();
      this.#watches.delete(watch);
    });
    missed.forEach(tell);
  }
}

class Watch {
  readonly kind: string;
  readonly response: ServerResponse;
  #isOver = false;

  constructor(kind: string, response: ServerResponse) {
    this.kind = kind;
    this.response = response;
  }

  end(): void {
    this.#isOver = true;
    this.response.end();
  }

  send(type: string, object: object): void {
    if (this.#isOver) return;
    this.response.write(`${JSON.stringify({ type, object })}\n`);
  }
}

interface Place {
  readonly collection: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string | undefined;
}

const kinds: Readonly<Record<string, string>> = {
  nodes: 'Node',
  pods: 'Pod',
  events: 'Event',
  leases: 'Lease',
  nodesysctlpolicies: 'NodeSysctlPolicy',
  nodesysctlstatuses: 'NodeSysctlStatus',
};

function placeOf(path: string): Place | undefined {
  const found =
    /^\/(?:api|apis\/[^/]+)\/[^/]+(?:\/namespaces\/([^/]+))?\/([a-z]+)(?:\/([^/]+))?(?:\/status)?$/.exec(
      path,
    );
  const [, namespace = '', resource = '', name] = found ?? [];
  const kind = kinds[resource];
  if (kind === undefined) return undefined;
  return {
    collection: resource,
    resource,
    kind,
    namespace,
    name: name === undefined ? undefined : decodeURIComponent(name),
  };
}

function inNamespace(object: Stored, namespace: string): boolean {
  return namespace === '' || object.metadata.namespace === namespace;
}

interface Result {
  readonly status: number;
  readonly body: unknown;
}

function failure(status: number, reason: string, message: string): Result {
  return {
    status,
    body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: status, reason, message },
  };
}

function bookmarkOf(kind: string, version: number): object {
  return { kind, metadata: { resourceVersion: String(version) } };
}

function answer(response: ServerResponse, { status, body }: Result): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
