import { join } from 'node:path';
import t from 'tap';
import { run } from '../../support/cli/context.ts';

const head = (name: string): string =>
  `apiVersion: sysctl-agent.dev/v1alpha1\nkind: NodeSysctlPolicy\nmetadata: { name: ${name} }\n`;

void t.test('a good file is valid', async (t) => {
  const root = t.testdir({
    'p.yaml': `${head('web')}spec: { kubelet: { allowedUnsafeSysctls: [net.core.somaxconn] } }\n`,
  });
  t.strictSame(await run(['validate', join(root, 'p.yaml')]), {
    code: 0,
    stdout: 'Valid: 1 policy in 1 file.\n',
    stderr: '',
  });
});

void t.test('every problem of every file is told with its place, in their order', async (t) => {
  const root = t.testdir({
    'a.yaml': `${head('web')}spec:\n  kubelet:\n    placment: Auto\n    allowedUnsafeSysctls: [net.core.somaxconn, vm.swappiness]\n`,
    'b.yaml': `${head('web')}spec:\n  sysctls: [{ name: vm.swappiness, value: 10 }]\n`,
  });
  const { code, stdout, stderr } = await run(['validate', root]);
  t.equal(code, 3);
  t.equal(stderr, '');
  t.equal(
    stdout.replaceAll(root, '.'),
    `./a.yaml:6:5: error: POLICY_INVALID
  spec.kubelet has no key "placment"
  next: Use placement
./a.yaml:7:48: error: ENTRY_NOT_NAMESPACED
  a kubelet from 1.29 on would exit at start with: the sysctls "vm.swappiness"
  are not known to be namespaced
  next: Only net.*, fs.mqueue.* and the kernel.shm, kernel.msg and kernel.sem
        families exist per pod. Set this one on the node, under sysctls.
./b.yaml:5:43: error: SYSCTL_VALUE_INVALID
  spec.sysctls[0].value must be text, but 10 is a number
  next: Quote it: "10"
3 problems in 2 files.
`,
  );
});

void t.test(
  'an entry that the next kubelet refuses is a warning for 1.28 and a problem for 1.29',
  async (t) => {
    const root = t.testdir({
      'p.yaml': `${head('ipc')}spec: { kubelet: { allowedUnsafeSysctls: ["kernel.shm_*"] } }\n`,
    });
    const old = await run(['validate', root, '--kubelet-version', '1.28']);
    t.equal(old.code, 0);
    t.match(
      old.stdout,
      /p\.yaml:4:43: warning: ENTRY_NOT_NAMESPACED\n {2}kubelet v1\.28\.0 accepts "kernel\.shm_\*", but from 1\.29 on/,
    );
    t.match(old.stdout, /\nValid: 1 policy in 1 file, 1 warning\.\n$/);
    t.equal((await run(['validate', root, '--kubelet-version', 'v1.29.3+k3s1'])).code, 3);
    t.equal((await run(['validate', root])).code, 3, 'without a version it must do for all of them');
    t.equal((await run(['validate', root, '--kubelet-version', 'latest'])).code, 64);
  },
);

void t.test('policies that certainly meet on a node must agree; others are not judged', async (t) => {
  const spec = (pool: string, placement: string): string =>
    `spec: { ${pool}kubelet: { placement: ${placement} } }\n`;
  const pool = (name: string): string => `nodeSelector: { matchLabels: { pool: ${name} } }, `;
  const root = t.testdir({
    meet: { 'p.yaml': `${head('a')}${spec('', 'Unit')}---\n${head('b')}${spec(pool('web'), 'DropIn')}` },
    same: {
      'p.yaml': `${head('a')}${spec(pool('web'), 'Unit')}---\n${head('b')}${spec(pool('web'), 'DropIn')}`,
    },
    apart: {
      'p.yaml': `${head('a')}${spec(pool('db'), 'Unit')}---\n${head('b')}${spec(pool('web'), 'DropIn')}`,
    },
  });
  for (const [directory, code] of [
    ['meet', 3],
    ['same', 3],
    ['apart', 0],
  ] as const) {
    const result = await run(['validate', join(root, directory), '--output', 'json']);
    t.equal(result.code, code, directory);
    const { outcome, problems } = JSON.parse(result.stdout);
    t.strictSame(
      [outcome, problems.map((problem: { code: string }) => problem.code)],
      code === 0 ? ['valid', []] : ['invalid', ['POLICY_CONFLICT']],
    );
  }
});
