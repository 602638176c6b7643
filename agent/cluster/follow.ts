import { AgentError } from '../errors.ts';
import { type ApiClient, type ApiClock, TransientAnswer } from './api-client.ts';
import { backoffDelay } from './backoff.ts';
import { field, list, metaOf, text } from './objects.ts';

/** A collection to follow. */
export interface Collection {
  /** Such as `/api/v1/nodes`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** True: the list is as new as the store. False: it may come from the server's cache, which costs it far less. */
  readonly consistent: boolean;
}

/** Objects by `namespace/name`, and the version of the collection at which they were so. */
export interface Followed<T> {
  readonly objects: ReadonlyMap<string, T>;
  readonly version: string;
}

export interface Follower<T> {
  /** Undefined until the first list was read. */
  current(): Followed<T> | undefined;
  /** Why nothing new is heard; undefined while the watch is open. */
  trouble(): string | undefined;
  close(): void;
}

export interface FollowOptions<T> {
  readonly client: ApiClient;
  readonly clock: ApiClock;
  readonly random: () => number;
  readonly collection: Collection;
  /** Undefined drops the object: kept is only what is needed. */
  readonly decode: (object: unknown) => T | undefined;
  readonly changed: () => void;
  /** Told when the collection can no longer be followed, and with undefined when it can again. */
  readonly troubled?: (reason: string | undefined) => void;
}

/**
 * Keeps a collection in memory: one list, then one watch that is resumed where it ended. Idle it costs a request about
 * every hour. Only a version that the server has forgotten (410) is followed by another list. Never throws.
 */
export function follow<T>(options: FollowOptions<T>): Follower<T> {
  const stop = new AbortController();
  const state: State<T> = { current: undefined, trouble: 'not asked yet', failures: 0 };
  const done = run(options, state, stop.signal);
  done.catch(() => undefined);
  return {
    current: () => state.current,
    trouble: () => state.trouble,
    close: () => {
      stop.abort(new Error('closed'));
    },
  };
}

interface State<T> {
  current: Followed<T> | undefined;
  trouble: string | undefined;
  failures: number;
}

async function run<T>(options: FollowOptions<T>, state: State<T>, signal: AbortSignal): Promise<void> {
  const { clock, random } = options;
  let version: string | undefined;
  while (!signal.aborted) {
    let retryAfterMs = 0;
    try {
      version ??= await listAll(options, state, signal);
      version = await watchFrom(options, state, version, signal);
      continue;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Gone) {
        version = undefined;
        // A server that lists a version and forgets it at once must not be asked in a circle.
        if (state.failures === 0) {
          state.failures = 1;
          continue;
        }
      }
      state.failures += 1;
      version =
        state.current === undefined ? undefined : error instanceof Gone ? undefined : state.current.version;
      retryAfterMs = error instanceof TransientAnswer ? error.retryAfterMs : 0;
      trouble(options, state, error instanceof Error ? error.message : String(error));
    }
    try {
      await clock.sleep(backoffDelay(state.failures, random(), retryAfterMs), signal);
    } catch {
      return;
    }
  }
}

/** The server no longer knows the version that the watch was to begin at. */
class Gone extends Error {
  override readonly name = 'Gone';
}

async function listAll<T>(options: FollowOptions<T>, state: State<T>, signal: AbortSignal): Promise<string> {
  const { client, collection, decode } = options;
  const objects = new Map<string, T>();
  let next = '';
  let version = '';
  do {
    const query = {
      ...selectors(collection),
      // A page must come from the store: the cache has no pages.
      ...(collection.consistent ? { limit: '500' } : { resourceVersion: '0' }),
      ...(next === '' ? {} : { continue: next }),
    };
    const answer = await client.ask({ method: 'GET', path: withQuery(collection.path, query) }, { signal });
    if (answer.kind === 'refused') {
      if (answer.status === 410) throw new Gone(answer.message);
      throw new AgentError('API_REFUSED', `list ${collection.path}: ${answer.status} ${answer.message}`);
    }
    for (const item of list(field(answer.object, 'items'))) {
      const key = keyOf(item);
      const kept = decode(item);
      if (key !== undefined && kept !== undefined) objects.set(key, kept);
    }
    const meta = field(answer.object, 'metadata');
    version = text(meta, 'resourceVersion') ?? version;
    next = text(meta, 'continue') ?? '';
  } while (next !== '');
  state.current = { objects, version };
  options.changed();
  return version;
}

/** Watches until the server ends it in good order; the version to go on from. */
async function watchFrom<T>(
  options: FollowOptions<T>,
  state: State<T>,
  from: string,
  signal: AbortSignal,
): Promise<string> {
  const { client, collection, random } = options;
  const path = withQuery(collection.path, {
    ...selectors(collection),
    watch: '1',
    allowWatchBookmarks: 'true',
    resourceVersion: from,
    // Spread, so that the watches of a fleet that came back at one moment do not end at one moment.
    timeoutSeconds: String(Math.floor(2_700 + 1_800 * random())),
  });
  let failure: Error | undefined;
  const stop = new AbortController();
  const opened = (): void => {
    trouble(options, state, undefined);
  };
  const line = (words: string): void => {
    // Bytes of one packet may follow the event that ended it.
    if (failure !== undefined) return;
    failure = takeEvent(options, state, JSON.parse(words));
    if (failure === undefined) state.failures = 0;
    else stop.abort(failure);
  };
  try {
    const end = await client.watch(path, { opened, line }, AbortSignal.any([signal, stop.signal]));
    if (end.kind === 'refused') {
      if (end.status === 410) throw new Gone(end.message);
      throw new AgentError('API_REFUSED', `watch ${collection.path}: ${end.status} ${end.message}`);
    }
  } catch (error) {
    throw failure ?? error;
  }
  return state.current?.version ?? from;
}

/** Applies one event; the failure that it stands for, if it does. */
function takeEvent<T>(
  { decode, changed }: FollowOptions<T>,
  state: State<T>,
  event: unknown,
): Error | undefined {
  const type = text(event, 'type');
  const object = field(event, 'object');
  if (type === 'ERROR') {
    const message = text(object, 'message') ?? 'the watch failed';
    return field(object, 'code') === 410 ? new Gone(message) : new Error(message);
  }
  const version = metaOf(object)?.resourceVersion ?? text(field(object, 'metadata'), 'resourceVersion');
  if (version === undefined) return new Error(`a watch event of type ${String(type)} without a version`);
  const objects = state.current?.objects ?? new Map<string, T>();
  if (type === 'BOOKMARK') {
    state.current = { objects, version };
    return undefined;
  }
  const key = keyOf(object);
  if (key === undefined) return new Error(`a watch event of type ${String(type)} without a name`);
  const next = new Map(objects);
  const kept = type === 'DELETED' ? undefined : decode(object);
  if (kept === undefined) next.delete(key);
  else next.set(key, kept);
  state.current = { objects: next, version };
  changed();
  return undefined;
}

function trouble<T>({ troubled }: FollowOptions<T>, state: State<T>, reason: string | undefined): void {
  if (state.trouble === reason) return;
  state.trouble = reason;
  troubled?.(reason);
}

function keyOf(object: unknown): string | undefined {
  const meta = metaOf(object);
  return meta === undefined ? undefined : `${meta.namespace ?? ''}/${meta.name}`;
}

function selectors({ labelSelector, fieldSelector }: Collection): Readonly<Record<string, string>> {
  return {
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

/** A path with its query. */
export function withQuery(path: string, query: Readonly<Record<string, string>>): string {
  const words = new URLSearchParams(query).toString();
  return words === '' ? path : `${path}?${words}`;
}
