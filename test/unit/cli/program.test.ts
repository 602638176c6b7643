import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { run } from '../../support/cli/context.ts';

const commands = [
  'plan',
  'apply',
  'rollback',
  'status',
  'run',
  'validate',
  'explain',
  'render',
  'audit',
] as const;

void t.test('every command has help with an example and its exit codes, and 0 to leave with', async (t) => {
  for (const command of commands) {
    const { code, stdout, stderr } = await run([command, '--help']);
    t.equal(code, 0, command);
    t.equal(stderr, '');
    t.match(stdout, /\nExample:\n {2}(kubectl .* \|\n {4})?kubelet-sysctl-agent /, command);
    t.match(stdout, /\nExit codes:\n {3}0 {2}done/, command);
    t.match(stdout, /\n {2}64 {2}wrong usage/, command);
    t.ok(
      stdout.split('\n').every((line) => line.length <= 80),
      `${command}: no line is longer than 80`,
    );
  }
});

void t.test('every option but --help names its environment variable', async (t) => {
  for (const command of commands) {
    const { stdout } = await run([command, '--help']);
    const options = stdout.slice(stdout.indexOf('Options:'), stdout.indexOf('Example:'));
    const flags = [...options.matchAll(/^ {2}--([a-z-]+) </gm)].map((match) => match[1] ?? '');
    t.ok(flags.length > 0, command);
    for (const flag of flags)
      t.match(options.replaceAll(/\s+/g, ' '), `KSA_${flag.replaceAll('-', '_').toUpperCase()}`);
  }
});

void t.test('the variable of a switch may say that it is off', async (t) => {
  const render = ['render', '--allow', 'net.core.somaxconn'];
  const everybody = async (value?: string): Promise<string> => {
    if (value !== undefined) process.env['KSA_ALL_NAMESPACES'] = value;
    const { code, stdout, stderr } = await run(render);
    delete process.env['KSA_ALL_NAMESPACES'];
    return code === 0 ? stdout : `${code} ${stderr}`;
  };
  const nobody = await everybody();
  t.equal(await everybody('false'), nobody);
  t.equal(await everybody(''), nobody);
  t.not(await everybody('true'), nobody);
  t.equal(await everybody('true'), (await run([...render, '--all-namespaces'])).stdout);
  t.match(await everybody('yes please'), /^64 .*Write true or false/s);
});

void t.test('wrong usage leaves with 64 and says what was meant', async (t) => {
  const misspelt = await run(['plan', '--alow', 'net.core.somaxconn']);
  t.equal(misspelt.code, 64);
  t.equal(
    misspelt.stderr,
    "error: unknown option '--alow'\n(Did you mean --allow?)\nRun it with --help for all options.\n",
  );
  t.equal((await run(['pln'])).code, 64);
  t.equal((await run([])).code, 64);
  t.equal((await run(['validate'])).code, 64);
  t.equal((await run(['plan', '--output', 'yaml', '--allow', 'net.core.somaxconn'])).code, 64);
  t.equal((await run(['plan', 'net.core.somaxconn'])).code, 64);
  t.equal((await run(['plan', '--node-labels', 'pool', '--allow', 'net.core.somaxconn'])).code, 64);
});

void t.test('the version is printed by the option and by the command', async (t) => {
  t.strictSame(await run(['--version']), { code: 0, stdout: '1.2.3\n', stderr: '' });
  t.strictSame(await run(['version']), { code: 0, stdout: '1.2.3\n', stderr: '' });
});

void t.test('a refusal that nobody may overrule is no value for --force', async (t) => {
  const { code, stderr } = await run(['apply', '--allow', 'net.core.somaxconn', '--force', 'UNIT_WRAPPED']);
  t.equal(code, 64);
  t.match(stderr, 'UNIT_NEEDS_RELOAD');
  t.match(stderr, 'REMOVAL_IN_USE');
});

void t.test('without any policy the usage is wrong, and an example is given', async (t) => {
  const { code, stdout, stderr } = await run(['plan']);
  t.equal(code, 64);
  t.equal(stdout, '');
  t.equal(
    stderr,
    [
      'error  USAGE',
      '  no policy was given',
      '  next: name one with --policy FILE, or say what you want: --allow',
      '        net.core.somaxconn or --sysctl vm.max_map_count=262144',
      '',
    ].join('\n'),
  );
  t.equal((await run(['plan', '--placement', 'DropIn'])).code, 64, 'a placement alone is no wish');
});

void t.test('an environment variable stands for its flag, and the flag wins', async (t) => {
  process.env['KSA_ALLOW'] = 'vm.swappiness=1';
  process.env['KSA_OUTPUT'] = 'json';
  t.teardown(() => {
    delete process.env['KSA_ALLOW'];
    delete process.env['KSA_OUTPUT'];
  });
  const fromEnvironment = await run(['plan']);
  t.equal(fromEnvironment.code, 3);
  t.equal(JSON.parse(fromEnvironment.stdout).problems[0].code, 'ENTRY_MALFORMED');
  const withFlags = await run(['plan', '--output', 'text', '--allow', 'net.core.somaxconn']);
  t.equal(withFlags.code, 3);
  t.match(withFlags.stderr, 'SYSTEMD_UNREACHABLE');
});

void t.test('what keeps a command from its node is text on standard error, or one JSON object', async (t) => {
  const text = await run(['status']);
  t.strictSame(text, {
    code: 3,
    stdout: '',
    stderr: 'refused  SYSTEMD_UNREACHABLE\n  no node in this test\n',
  });
  const json = await run(['status', '--output', 'json']);
  t.equal(json.code, 3);
  t.strictSame(JSON.parse(json.stdout), {
    schema: 'sysctl-agent.dev/status/v1',
    agentVersion: '1.2.3',
    at: '2026-01-02T03:04:05.000Z',
    node: 'node-a',
    outcome: 'refused',
    exitCode: 3,
    problems: [{ code: 'SYSTEMD_UNREACHABLE', message: 'no node in this test' }],
  });
});

void t.test('a bug leaves with 1, an unreadable journal with 5', async (t) => {
  const bug = await run(['status'], {
    connectNode: async () => Promise.reject(new TypeError('x is undefined')),
  });
  t.strictSame(bug, { code: 1, stdout: '', stderr: 'error  INTERNAL\n  x is undefined\n' });
  const journal = await run(['rollback'], {
    connectNode: async () =>
      Promise.reject(new AgentError('JOURNAL_UNREADABLE', 'cut off', { next: 'look at it' })),
  });
  t.strictSame(journal, {
    code: 5,
    stdout: '',
    stderr: 'error  JOURNAL_UNREADABLE\n  cut off\n  next: look at it\n',
  });
});
