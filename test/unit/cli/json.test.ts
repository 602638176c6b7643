import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { transactionJson } from '../../../agent/cli/json-transaction.ts';
import { run } from '../../support/cli/context.ts';
import { committed } from '../../support/cli/node.ts';

const documented = new Set(
  [...readFileSync('docs/json.md', 'utf8').matchAll(/`([a-zA-Z0-9]+)`/g)].map((match) => match[1] ?? ''),
);
for (const field of ['code', 'message', 'where', 'file', 'line', 'column', 'next']) documented.add(field);

/** Every field name of a JSON value, at any depth. */
function fieldsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(fieldsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...fieldsOf(inner)]);
}

function image(root: string): string {
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(
    join(root, 'etc/systemd/system/kubelet.service'),
    '[Service]\nExecStart=/usr/bin/kubelet\nKillMode=process\n',
  );
  writeFileSync(join(root, 'p.yaml'), 'spec: {}\n');
  return root;
}

void t.test('every field that is printed stands in docs/json.md', async (t) => {
  const root = image(t.testdir());
  const wish = [
    '--root',
    root,
    '--allow',
    'net.core.somaxconn',
    '--sysctl',
    'vm.swappiness=10',
    '--remediation',
    'Report',
  ];
  const commands: readonly (readonly string[])[] = [
    ['plan', ...wish],
    ['status', ...wish],
    ['apply', ...wish],
    ['validate', join(root, 'p.yaml')],
    ['explain', 'net.core.somaxconn', 'net.ipv4.tcp_rmem', 'vm.swappiness', '--root', root],
  ];
  for (const command of commands) {
    const { stdout } = await run([...command, '--output', 'json']);
    const value: unknown = JSON.parse(stdout);
    t.match(value, { schema: `sysctl-agent.dev/${command[0]}/v1`, node: 'node-a' });
    t.strictSame(
      fieldsOf(value).filter((field) => !documented.has(field)),
      [],
      String(command[0]),
    );
  }
  t.strictSame(
    fieldsOf(transactionJson(committed())).filter((field) => !documented.has(field)),
    [],
  );
});

void t.test('the exit code in the object is that of the program', async (t) => {
  const root = image(t.testdir());
  for (const command of [
    ['plan', '--allow', 'net.core.somaxconn', '--root', root],
    ['plan', '--allow', 'vm.swappiness', '--root', root],
    ['plan'],
    ['status', '--root', root],
    ['rollback', '--root', root],
    ['validate', join(root, 'p.yaml')],
    ['explain', 'net.*'],
  ]) {
    const { code, stdout, stderr } = await run([...command, '--output', 'json']);
    t.equal(JSON.parse(stdout).exitCode, code, command.join(' '));
    t.equal(stderr, '');
  }
});

void t.test('no file is printed whole: only its difference, since it may hold secrets', async (t) => {
  const root = image(t.testdir());
  const secret = 'Environment=HTTPS_PROXY=http://user:hunter2@proxy.example';
  const lines = Array.from({ length: 20 }, (_, index) => `# ${index}`);
  writeFileSync(
    join(root, 'etc/systemd/system/kubelet.service'),
    ['[Service]', secret, ...lines, 'ExecStart=/usr/bin/kubelet', ''].join('\n'),
  );
  const { stdout } = await run(['plan', '--root', root, '--allow', 'net.core.somaxconn', '--output', 'json']);
  t.equal(JSON.parse(stdout).outcome, 'change');
  t.notMatch(stdout, 'hunter2');
});
