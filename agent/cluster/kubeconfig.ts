import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { AgentError } from '../errors.ts';
import type { ApiTarget, Credentials } from './credentials.ts';
import { field, list, text } from './objects.ts';

/** Where kubectl would look: the flag, else the first file of KUBECONFIG that exists, else ~/.kube/config. */
export interface KubeconfigQuestion {
  readonly file: string | undefined;
  readonly context: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface KubeconfigTarget {
  readonly target: ApiTarget;
  readonly context: string;
  /** The context's namespace; empty where it has none. */
  readonly namespace: string;
}

/**
 * Reads one context of one kubeconfig file: a token, a token file, a client certificate, or nothing. Files are not
 * merged. @throws AgentError KUBECONFIG_UNUSABLE, for exec plugins, auth providers and passwords too: they run programs
 * or are no longer spoken by the API server.
 */
export async function readKubeconfig(question: KubeconfigQuestion): Promise<KubeconfigTarget> {
  const { file, body } = await firstFile(candidates(question));
  const config: unknown = parseYaml(file, body);
  const context = question.context ?? text(config, 'current-context') ?? '';
  const chosen = named(config, 'contexts', 'context', context);
  if (chosen === undefined)
    throw unusable(file, `it has no context ${JSON.stringify(context)}`, 'name one with --context');
  const clusterName = text(chosen, 'cluster') ?? '';
  const cluster = named(config, 'clusters', 'cluster', clusterName);
  const server = text(cluster, 'server');
  if (server === undefined || !URL.canParse(server)) {
    throw unusable(file, `cluster ${JSON.stringify(clusterName)} has no server address`, 'correct the file');
  }
  const user = named(config, 'users', 'user', text(chosen, 'user') ?? '');
  refuseForeignLogin(file, user);
  const directory = path.dirname(file);
  const tlsServerName = text(cluster, 'tls-server-name');
  return {
    context,
    namespace: text(chosen, 'namespace') ?? '',
    target: {
      server: new URL(server),
      ...(tlsServerName === undefined ? {} : { tlsServerName }),
      credentials: async () => credentialsOf(file, directory, cluster, user),
    },
  };
}

function candidates({ file, env }: KubeconfigQuestion): readonly string[] {
  if (file !== undefined) return [file];
  const { KUBECONFIG: several, HOME: home } = env;
  if (several !== undefined && several !== '')
    return several.split(path.delimiter).filter((each) => each !== '');
  return home === undefined ? [] : [path.join(home, '.kube', 'config')];
}

async function firstFile(
  files: readonly string[],
): Promise<{ readonly file: string; readonly body: string }> {
  for (const file of files) {
    try {
      return { file: path.resolve(file), body: await readFile(file, 'utf8') };
    } catch (cause) {
      const isLast = file === files.at(-1);
      if (isLast) throw unusable(file, 'it cannot be read', 'name one with --kubeconfig', cause);
    }
  }
  throw unusable('~/.kube/config', 'there is no home directory', 'name one with --kubeconfig');
}

function parseYaml(file: string, body: string): unknown {
  try {
    return parse(body);
  } catch (cause) {
    throw unusable(
      file,
      cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : 'it is not YAML',
      'correct the file',
      cause,
    );
  }
}

function named(config: unknown, members: string, member: string, name: string): unknown {
  const found = list(field(config, members)).find((each) => text(each, 'name') === name);
  return field(found, member);
}

function refuseForeignLogin(file: string, user: unknown): void {
  const exec = text(field(user, 'exec'), 'command');
  if (exec !== undefined) {
    throw unusable(
      file,
      `its user logs in through the program ${exec}`,
      'create a token (kubectl create token …) and a kubeconfig that holds it; this command runs no login programs',
    );
  }
  for (const key of ['auth-provider', 'username'] as const) {
    if (field(user, key) !== undefined)
      throw unusable(
        file,
        `its user logs in with ${key}, which is not supported`,
        'use a token or a client certificate',
      );
  }
}

async function credentialsOf(
  file: string,
  directory: string,
  cluster: unknown,
  user: unknown,
): Promise<Credentials> {
  const pem = async (holder: unknown, key: string): Promise<string | undefined> => {
    const data = text(holder, `${key}-data`);
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    const named = text(holder, key);
    return named === undefined ? undefined : readBeside(file, directory, named);
  };
  const [ca, certificate, key] = [
    await pem(cluster, 'certificate-authority'),
    await pem(user, 'client-certificate'),
    await pem(user, 'client-key'),
  ];
  const tokenFile = text(user, 'tokenFile');
  const token =
    tokenFile === undefined ? text(user, 'token') : (await readBeside(file, directory, tokenFile)).trim();
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(token === undefined ? {} : { token }),
    ...(certificate === undefined || key === undefined ? {} : { clientCertificate: { certificate, key } }),
    ...(field(cluster, 'insecure-skip-tls-verify') === true ? { insecure: true } : {}),
  };
}

async function readBeside(file: string, directory: string, named: string): Promise<string> {
  try {
    return await readFile(path.resolve(directory, named), 'utf8');
  } catch (cause) {
    throw unusable(file, `${named}, which it names, cannot be read`, 'correct the file', cause);
  }
}

function unusable(file: string, why: string, next: string, cause?: unknown): AgentError {
  return new AgentError('KUBECONFIG_UNUSABLE', `kubeconfig ${file}: ${why}`, { next, cause });
}
