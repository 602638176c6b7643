import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { run } from '../../support/cli/context.ts';

const examples = 'manifests/examples';

void t.test('the example’s admission policy is what render writes from the example’s policy', async (t) => {
  const { code, stdout, stderr } = await run([
    'render',
    '--policy',
    `${examples}/policy.yaml`,
    '--service-account',
    'web:web',
  ]);
  t.equal(stderr, '');
  t.equal(code, 0);
  // The file is wrapped by the formatter of this repository: the same comment, the same objects.
  const written = readFileSync(`${examples}/admission.yaml`, 'utf8');
  t.strictSame(comment(stdout), comment(written));
  t.strictSame(objects(stdout), objects(written));
});

void t.test(
  'render prints a List with --output json, and a warning for the upgrade on standard error',
  async (t) => {
    const wish = ['--allow', 'kernel.shm_rmid_forced,net.*', '--allow', 'kernel.shm*', '--namespace', 'web'];
    const { code, stdout } = await run(['render', ...wish, '--output', 'json']);
    t.equal(code, 0);
    t.match(JSON.parse(stdout), {
      kind: 'List',
      items: [{ kind: 'ValidatingAdmissionPolicy' }, { kind: 'ValidatingAdmissionPolicyBinding' }],
    });
    const old = await run([
      'render',
      '--allow',
      'kernel.shm_*',
      '--namespace',
      'web',
      '--kubelet-version',
      '1.28',
    ]);
    t.equal(old.code, 0);
    t.match(old.stderr, /ENTRY_NOT_NAMESPACED/);
  },
);

void t.test('render refuses with every problem, and the exit code says whose fault it is', async (t) => {
  const nobody = await run(['render', '--allow', 'net.core.somaxconn']);
  t.equal(nobody.code, 64);
  t.match(nobody.stderr, 'nobody was chosen');
  t.equal((await run(['render', '--all-namespaces'])).code, 64);
  t.equal(
    (await run(['render', '--allow', 'net.core.somaxconn', '--all-namespaces', '--kubelet-version', 'new']))
      .code,
    64,
  );
  const entry = await run(['render', '--allow', 'vm.swappiness', '--all-namespaces']);
  t.equal(entry.code, 3);
  t.equal(entry.stdout, '');
  const slashes = await run([
    'render',
    '--kind',
    'psp',
    '--allow',
    'net/ipv4/conf/eth0.1/rp_filter',
    '--all-namespaces',
  ]);
  t.equal(slashes.code, 3);
  t.match(slashes.stderr, /ENTRY_MALFORMED/);
});

void t.test('audit finds the example’s privileged init container, as text and as JSON', async (t) => {
  const [object] = parseAllDocuments(readFileSync(`${examples}/privileged-init.yaml`, 'utf8'));
  const file = path.join(t.testdir(), 'pods.json');
  writeFileSync(file, JSON.stringify({ kind: 'List', items: [object?.toJS()] }));
  const text = await run(['audit', '--policy', `${examples}/policy.yaml`, file]);
  t.equal(text.code, 2);
  t.equal(
    text.stdout,
    [
      'Deployment web/web-privileged',
      '  +  net.core.somaxconn=512 (container sysctl)',
      '     allowed by the policy: use securityContext.sysctls instead',
      '',
      '1 workload sets sysctls in privileged containers; 1 needs none: the policy',
      'allows the same in securityContext.sysctls.',
      '',
    ].join('\n'),
  );
  const json = await run(['audit', '--policy', `${examples}/policy.yaml`, '--output', 'json', file]);
  t.match(JSON.parse(json.stdout), {
    schema: 'sysctl-agent.dev/audit/v1',
    outcome: 'found',
    exitCode: 2,
    workloads: [{ replaceable: true }],
  });
});

void t.test('audit of nothing to find ends with 0, of no JSON with 64', async (t) => {
  const directory = t.testdir({ 'none.json': '{"kind":"List","items":[]}', 'broken.json': '{' });
  const clean = await run(['audit', '--allow', 'net.*', path.join(directory, 'none.json')]);
  t.equal(clean.code, 0);
  t.equal(clean.stdout, 'No workload sets sysctls in a privileged container.\n');
  t.equal((await run(['audit', '--allow', 'net.*', path.join(directory, 'broken.json')])).code, 64);
});

function comment(text: string): readonly string[] {
  return text.split('\n').filter((line) => line.startsWith('#'));
}

function objects(text: string): readonly unknown[] {
  return parseAllDocuments(text).map((document) => document.toJS() as unknown);
}
