import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { type ApiClient, connectApi } from '../../../agent/cluster/api-client.ts';
import { field, list, text } from '../../../agent/cluster/objects.ts';
import type { ApiTarget } from '../../../agent/cluster/credentials.ts';
import { hastyClock } from './clock.ts';
import { type RealApiServer, startRealApiServer } from './real.ts';
import { StandInApiServer } from './stand-in.ts';

/** The API server under the tests: our own in memory, or a real one. */
export interface TestApi {
  readonly target: ApiTarget;
  /** For what a person or another component does. */
  readonly admin: Admin;
  /** A client as the agent has it, in hasty time. */
  client(): ApiClient;
  readonly standIn: StandInApiServer | undefined;
  readonly real: RealApiServer | undefined;
  /** The API server is away until the work is done. */
  outage(work: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

export interface Admin {
  create(path: string, object: object): Promise<unknown>;
  get(path: string): Promise<unknown>;
  merge(path: string, patch: object): Promise<unknown>;
  remove(path: string): Promise<void>;
}

export const namespace = 'kubelet-sysctl-agent';

/** Which server the suites run against, from the environment: KUBE_APISERVER and ETCD name the real programs. */
export function realPrograms(): { readonly apiServer: string; readonly etcd: string } | undefined {
  const { KUBE_APISERVER: apiServer, ETCD: etcd } = process.env;
  return apiServer === undefined || etcd === undefined ? undefined : { apiServer, etcd };
}

/** Starts the API server under test, with the namespace and the resources of the agent. */
export async function startApi(): Promise<TestApi> {
  const programs = realPrograms();
  if (programs === undefined) {
    const standIn = await StandInApiServer.start();
    const target: ApiTarget = {
      server: standIn.url,
      credentials: async () => Promise.resolve({ token: 'token-1' }),
    };
    const outage = async (work: () => Promise<void>): Promise<void> => {
      standIn.setDown(true);
      await work();
      standIn.setDown(false);
    };
    return { ...around(target), standIn, real: undefined, outage, close: async () => standIn.close() };
  }
  const real = await startRealApiServer(programs.apiServer, programs.etcd);
  const api = around(real.target);
  await api.admin.create('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespace },
  });
  for (const crd of ['nodesysctlpolicy', 'nodesysctlstatus']) await install(api.admin, crd);
  return { ...api, standIn: undefined, real, outage: real.restart, close: real.close };
}

async function install(admin: Admin, name: string): Promise<void> {
  const file = new URL(`../../../manifests/crds/${name}.yaml`, import.meta.url);
  const definition = parse(await readFile(file, 'utf8')) as { metadata: { name: string } };
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  await admin.create(path, definition);
  for (;;) {
    const found = await admin.get(`${path}/${definition.metadata.name}`);
    const conditions = list(field(field(found, 'status'), 'conditions'));
    if (conditions.some((each) => text(each, 'type') === 'Established' && text(each, 'status') === 'True'))
      return;
    await hastyClock(1).sleep(50);
  }
}

function around(target: ApiTarget): Pick<TestApi, 'target' | 'admin' | 'client'> {
  const client = (): ApiClient => connectApi({ target, clock: hastyClock(), random: Math.random });
  const own = connectApi({ target, clock: hastyClock(1), random: Math.random });
  const ask = async (
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<unknown> => {
    const answer = await own.ask({
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(method === 'PATCH' ? { patch: 'merge' as const } : {}),
    });
    if (answer.kind === 'refused') throw new Error(`${method} ${path}: ${answer.status} ${answer.message}`);
    return answer.object;
  };
  return {
    target,
    client,
    admin: {
      create: async (path, object) => ask('POST', path, object),
      get: async (path) => ask('GET', path),
      merge: async (path, patch) => ask('PATCH', path, patch),
      remove: async (path) => {
        await ask('DELETE', path);
      },
    },
  };
}

/** Waits for the thing itself; the test's own time limit ends it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await hastyClock(1).sleep(5);
}
