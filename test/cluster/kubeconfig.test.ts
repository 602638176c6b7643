import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { readKubeconfig } from '../../agent/cluster/kubeconfig.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const config = (user: string): string => `
apiVersion: v1
kind: Config
current-context: one
contexts:
  - { name: one, context: { cluster: c, user: u, namespace: team } }
  - { name: two, context: { cluster: d, user: u } }
clusters:
  - { name: c, cluster: { server: "https://10.0.0.1:6443", certificate-authority-data: ${base64('CA')} } }
  - { name: d, cluster: { server: "https://d.example/prefix", certificate-authority: ca.pem, tls-server-name: api, insecure-skip-tls-verify: true } }
users:
  - { name: u, user: ${user} }
`;

const directories: string[] = [];
t.teardown(async () => {
  for (const directory of directories) await rm(directory, { recursive: true });
});

async function fileOf(body: string): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'ksa-kubeconfig-'));
  directories.push(directory);
  const file = path.join(directory, 'config');
  await Promise.all([
    writeFile(file, body),
    writeFile(path.join(directory, 'ca.pem'), 'CA FILE'),
    writeFile(path.join(directory, 'token'), 'from file\n'),
  ]);
  return file;
}

const read = async (body: string, context?: string) =>
  readKubeconfig({ file: await fileOf(body), context, env: {} });

void t.test('the current context gives server, CA and token', async (t) => {
  const { target, namespace, context } = await read(config('{ token: abc }'));
  t.equal(target.server.href, 'https://10.0.0.1:6443/');
  t.equal(namespace, 'team');
  t.equal(context, 'one');
  t.strictSame(await target.credentials(false), { ca: 'CA', token: 'abc' });
});

void t.test('another context, files beside the kubeconfig, and a server without checked names', async (t) => {
  const { target, namespace } = await read(config('{ tokenFile: token }'), 'two');
  t.equal(target.server.href, 'https://d.example/prefix');
  t.equal(target.tlsServerName, 'api');
  t.equal(namespace, '');
  t.strictSame(await target.credentials(false), { ca: 'CA FILE', token: 'from file', insecure: true });
});

void t.test('a client certificate', async (t) => {
  const user = `{ client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')} }`;
  const { target } = await read(config(user));
  t.strictSame(await target.credentials(false), {
    ca: 'CA',
    clientCertificate: { certificate: 'CERT', key: 'KEY' },
  });
});

void t.test('logins that run programs or are long gone are refused with a way out', async (t) => {
  await t.rejects(read(config('{ exec: { command: aws-iam-authenticator } }')), {
    code: 'KUBECONFIG_UNUSABLE',
    message: /its user logs in through the program aws-iam-authenticator$/,
    next: /create a token/,
  });
  await t.rejects(read(config('{ username: a, password: b }')), { code: 'KUBECONFIG_UNUSABLE' });
  await t.rejects(read(config('{ auth-provider: { name: oidc } }')), { code: 'KUBECONFIG_UNUSABLE' });
});

void t.test('what is missing or broken is named', async (t) => {
  await t.rejects(read(config('{}'), 'three'), { message: /no context "three"/ });
  await t.rejects(read('a: ['), { code: 'KUBECONFIG_UNUSABLE' });
  await t.rejects(read('contexts: [{ name: x, context: { cluster: y } }]\ncurrent-context: x'), {
    message: /cluster "y" has no server address$/,
  });
  await t.rejects(readKubeconfig({ file: '/nowhere/config', context: undefined, env: {} }), {
    message: /^kubeconfig \/nowhere\/config: it cannot be read$/,
  });
});

void t.test(
  'without a flag the first file of KUBECONFIG that exists is read, else the one of the home directory',
  async (t) => {
    const file = await fileOf(config('{ token: abc }'));
    const found = await readKubeconfig({
      file: undefined,
      context: undefined,
      env: { KUBECONFIG: `/nowhere:${file}` },
    });
    t.equal(found.context, 'one');
    await t.rejects(readKubeconfig({ file: undefined, context: undefined, env: { HOME: '/nowhere' } }), {
      message: /^kubeconfig \/nowhere\/\.kube\/config: /,
    });
  },
);
