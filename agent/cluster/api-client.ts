import { AgentError } from '../errors.ts';
import { type Backoff, backoffDelay, defaultBackoff, parseRetryAfter } from './backoff.ts';
import type { ApiTarget } from './credentials.ts';
import { connectHttp, type HttpAnswer, type HttpQuestion } from './http.ts';

/** What the API server said to one request. `refused` is an answer: not there, in conflict, expired, not allowed. */
export type ApiAnswer =
  | { readonly kind: 'done'; readonly object: unknown }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly reason: string;
      readonly message: string;
      /** An earlier try got no answer: this one may have met what that one did. */
      readonly unsure: boolean;
    };

export interface ApiQuestion {
  readonly method: HttpQuestion['method'];
  readonly path: string;
  readonly body?: object;
  readonly patch?: 'merge' | 'json' | 'apply';
}

export type WatchEnd = { readonly kind: 'ended' } | (ApiAnswer & { readonly kind: 'refused' });

/** The Kubernetes API, for a handful of typed calls. */
export interface ApiClient {
  /**
   * Asks until it is answered: silence, 429 and 5xx are tried again with growing waits. A request that was cut may have
   * been carried out, so the caller must bear to see it done twice. @throws AgentError API_UNREACHABLE after
   * `patienceMs` (30 s unless told), and the signal's reason.
   */
  ask(question: ApiQuestion, options?: { patienceMs?: number; signal?: AbortSignal }): Promise<ApiAnswer>;
  /** One watch, not resumed. @throws Error when it is cut or cannot be opened, and the signal's reason. */
  watch(
    path: string,
    listener: { opened: () => void; line: (text: string) => void },
    signal: AbortSignal,
  ): Promise<WatchEnd>;
  /** Requests sent so far, tries included. */
  requests(): number;
  close(): void;
}

export interface ApiClientOptions {
  readonly target: ApiTarget;
  readonly clock: ApiClock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  readonly userAgent?: string;
  readonly deadlineMs?: number;
  /** A watch with bookmarks speaks about once a minute. */
  readonly silenceMs?: number;
  readonly backoff?: Backoff;
}

/** The part of the host's clock that clients need. */
export interface ApiClock {
  now(): number;
  monotonic(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Connects nothing yet: the first request does. */
export function connectApi(options: ApiClientOptions): ApiClient {
  const { target, clock, random, deadlineMs = 15_000, silenceMs = 180_000 } = options;
  const { backoff = defaultBackoff, userAgent = 'kubelet-sysctl-agent' } = options;
  const http = connectHttp(target, userAgent);
  let requests = 0;

  const once = async (
    question: ApiQuestion,
    fresh: boolean,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    requests += 1;
    return http.ask(
      { ...httpQuestion(question), fresh },
      { deadlineMs, ...(signal === undefined ? {} : { signal }) },
    );
  };

  return {
    ask: async (question, { patienceMs = 30_000, signal } = {}) => {
      const until = clock.monotonic() + patienceMs;
      let fresh = false;
      let unsure = false;
      for (let failures = 1; ; failures += 1) {
        const tried = await attempt(async () => once(question, fresh, signal), signal);
        const { answer } = tried;
        if (answer !== undefined && !isTransient(answer.status)) {
          if (answer.status === 401 && !fresh) {
            // The token may have been replaced on disk since it was read.
            fresh = true;
            continue;
          }
          return read(answer, unsure);
        }
        unsure ||= answer === undefined || answer.status >= 500;
        const retryAfterMs = parseRetryAfter(answer?.retryAfter, clock.now());
        const waitMs = backoffDelay(failures, random(), retryAfterMs, backoff);
        if (clock.monotonic() + waitMs > until) {
          const why = answer === undefined ? tried.why : `${answer.status} ${messageOf(answer)}`;
          throw new AgentError(
            'API_UNREACHABLE',
            `${question.method} ${question.path} at ${target.server.host}: ${why}`,
            {
              cause: tried.error,
              next: 'check that the API server can be reached from this node; the agent goes on by itself once it can',
            },
          );
        }
        await clock.sleep(waitMs, signal);
      }
    },
    watch: async (path, listener, signal) => {
      const open = async (fresh: boolean): Promise<HttpAnswer> => {
        requests += 1;
        return http.stream({ method: 'GET', path, fresh }, { deadlineMs, silenceMs, signal }, listener);
      };
      let answer = await open(false);
      if (answer.status === 401) answer = await open(true);
      if (answer.status === 200) return { kind: 'ended' };
      if (isTransient(answer.status))
        throw new TransientAnswer(answer, parseRetryAfter(answer.retryAfter, clock.now()));
      const refused = read(answer, false);
      return refused.kind === 'refused' ? refused : { kind: 'ended' };
    },
    requests: () => requests,
    close: () => {
      http.close();
    },
  };
}

/** A watch that the server is too busy to open; carries how long it asked to be left alone. */
export class TransientAnswer extends Error {
  override readonly name = 'TransientAnswer';
  readonly retryAfterMs: number;

  constructor(answer: HttpAnswer, retryAfterMs: number | undefined) {
    super(`${answer.status} ${messageOf(answer)}`);
    this.retryAfterMs = retryAfterMs ?? 0;
  }
}

interface Tried {
  readonly answer: HttpAnswer | undefined;
  readonly why: string;
  readonly error: unknown;
}

async function attempt(once: () => Promise<HttpAnswer>, signal: AbortSignal | undefined): Promise<Tried> {
  try {
    return { answer: await once(), why: '', error: undefined };
  } catch (error) {
    signal?.throwIfAborted();
    // Unreadable credentials are no weather: nothing gets better by asking again.
    if (error instanceof AgentError) throw error;
    return { answer: undefined, why: error instanceof Error ? error.message : String(error), error };
  }
}

function httpQuestion({ method, path, body, patch }: ApiQuestion): HttpQuestion {
  return {
    method,
    path,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(patch === undefined ? {} : { contentType: patchTypes[patch] }),
  };
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  // JSON is YAML.
  apply: 'application/apply-patch+yaml',
} as const;

function isTransient(status: number): boolean {
  return status === 429 || status >= 500 || status === 408;
}

function read(answer: HttpAnswer, unsure: boolean): ApiAnswer {
  if (answer.status >= 200 && answer.status < 300) return { kind: 'done', object: parse(answer.body) };
  return {
    kind: 'refused',
    status: answer.status,
    reason: reasonOf(answer),
    message: messageOf(answer),
    unsure,
  };
}

function parse(body: string): unknown {
  try {
    return body === '' ? {} : JSON.parse(body);
  } catch (cause) {
    throw new AgentError('API_REFUSED', 'the API server answered with something that is not JSON', { cause });
  }
}

function messageOf({ body, status }: HttpAnswer): string {
  return (
    statusText(body, 'message') ?? (body.slice(0, 200).replaceAll(/\s+/g, ' ').trim() || `status ${status}`)
  );
}

function reasonOf({ body, status }: HttpAnswer): string {
  return statusText(body, 'reason') ?? `Status${status}`;
}

function statusText(body: string, key: 'message' | 'reason'): string | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || !(key in value)) return undefined;
    const text: unknown = Reflect.get(value, key);
    return typeof text === 'string' && text !== '' ? text : undefined;
  } catch {
    return undefined;
  }
}
