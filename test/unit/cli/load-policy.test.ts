import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadPolicy } from '../../../agent/cli/load-policy.ts';
import { readPolicyFiles } from '../../../agent/cli/policy-files.ts';

const document = (name: string, spec: string): string =>
  `apiVersion: sysctl-agent.dev/v1alpha1\nkind: NodeSysctlPolicy\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

void t.test('a mounted ConfigMap is read once, through its links', async (t) => {
  const directory = t.testdir();
  mkdirSync(join(directory, '..2026_01_02'));
  writeFileSync(join(directory, '..2026_01_02/b.yaml'), 'b');
  writeFileSync(join(directory, '..2026_01_02/a.json'), 'a');
  symlinkSync('..2026_01_02', join(directory, '..data'));
  symlinkSync('..data/b.yaml', join(directory, 'b.yaml'));
  symlinkSync('..data/a.json', join(directory, 'a.json'));
  writeFileSync(join(directory, 'README.md'), 'no policy');
  writeFileSync(join(directory, '.b.yaml.swp'), 'no policy');
  t.strictSame(await readPolicyFiles([directory]), {
    files: [
      { path: join(directory, 'a.json'), text: 'a' },
      { path: join(directory, 'b.yaml'), text: 'b' },
    ],
    problems: [],
  });
});

void t.test('every path that cannot be read is named', async (t) => {
  const directory = t.testdir({ empty: {}, 'p.yaml': 'p' });
  const { files, problems } = await readPolicyFiles([
    join(directory, 'gone.yaml'),
    join(directory, 'empty'),
    join(directory, 'p.yaml'),
  ]);
  t.strictSame(files, [{ path: join(directory, 'p.yaml'), text: 'p' }]);
  t.strictSame(
    problems.map(({ code, where }) => [code, where?.file]),
    [
      ['POLICY_UNREADABLE', join(directory, 'gone.yaml')],
      ['POLICY_UNREADABLE', join(directory, 'empty')],
    ],
  );
});

void t.test('files and flags unite, and flags settle settings', async (t) => {
  const directory = t.testdir({
    'p.yaml': document('web', '{ kubelet: { allowedUnsafeSysctls: [net.core.somaxconn], placement: Unit } }'),
  });
  const loaded = await loadPolicy({
    policy: [join(directory, 'p.yaml')],
    allow: ['net.ipv4.tcp_*'],
    placement: 'DropIn',
  });
  t.match(loaded, { ok: true, policy: { names: ['command-line', 'web'], placement: 'DropIn' }, others: [] });
  t.strictSame(loaded.ok && [...loaded.policy.allowedUnsafeSysctls].sort(), [
    'net.core.somaxconn',
    'net.ipv4.tcp_*',
  ]);
});

void t.test(
  'a selector is a refusal while the labels are unknown, and decides once they are given',
  async (t) => {
    const directory = t.testdir({
      'p.yaml': [
        document(
          'web',
          '{ nodeSelector: { matchLabels: { pool: web } }, kubelet: { allowedUnsafeSysctls: [net.core.somaxconn] } }',
        ),
        document(
          'db',
          '{ nodeSelector: { matchLabels: { pool: db } }, kubelet: { allowedUnsafeSysctls: ["kernel.shm*"] } }',
        ),
      ].join('---\n'),
    });
    const policy = [join(directory, 'p.yaml')];
    const unknown = await loadPolicy({ policy });
    t.strictSame(!unknown.ok && unknown.problems.map(({ code, where, next }) => [code, where?.line, next]), [
      [
        'POLICY_INVALID',
        3,
        'give them with --node-labels KEY=VALUE,… (see `kubectl get node NAME --show-labels`)',
      ],
      [
        'POLICY_INVALID',
        8,
        'give them with --node-labels KEY=VALUE,… (see `kubectl get node NAME --show-labels`)',
      ],
    ]);
    t.match(await loadPolicy({ policy, nodeLabels: { pool: 'db' } }), {
      ok: true,
      policy: { names: ['db'], allowedUnsafeSysctls: ['kernel.shm*'] },
      others: ['web'],
    });
    t.match(await loadPolicy({ policy, nodeLabels: {} }), {
      ok: true,
      policy: { names: [] },
      others: ['web', 'db'],
    });
  },
);

void t.test('a file without a policy is a problem and no wish for nothing', async (t) => {
  const directory = t.testdir({ 'p.yaml': '# later\n' });
  t.match(await loadPolicy({ policy: [join(directory, 'p.yaml')] }), {
    ok: false,
    problems: [{ code: 'POLICY_INVALID' }],
  });
});
