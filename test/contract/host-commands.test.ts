import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'tap';
import { type Commands, systemCommands } from '../../agent/host/commands.ts';
import { spawnCommands } from '../../agent/host/spawn-commands.ts';
import { fakeCommands } from '../support/host/commands.ts';

// The same words run through both: the fake knows just these scripts of `sh -c`.
const scripts = {
  speak: 'printf "a\\nb\\n"; printf "oops\\n" >&2; exit 3',
  silent: ':',
  repeat: 'cat',
  arguments: 'printf "<%s>" "$@"',
  much: 'head -c 5000 /dev/zero | tr "\\0" x',
  hang: 'exec sleep 1000',
  hangBehindChild: 'sleep 1000 & wait',
} as const;

const fake = (): Commands =>
  fakeCommands({
    sh: ([, script = '', , ...rest], input) => {
      switch (script) {
        case scripts.speak:
          return { kind: 'exited', code: 3, stdout: 'a\nb\n', stderr: 'oops\n' };
        case scripts.silent:
          return { kind: 'exited', code: 0, stdout: '', stderr: '' };
        case scripts.repeat:
          return { kind: 'exited', code: 0, stdout: input, stderr: '' };
        case scripts.arguments:
          return { kind: 'exited', code: 0, stdout: rest.map((word) => `<${word}>`).join(''), stderr: '' };
        case scripts.much:
          return { kind: 'exited', code: 0, stdout: 'x'.repeat(5000), stderr: '' };
        default:
          return 'hangs';
      }
    },
  });

const harnesses: Readonly<Record<string, () => Commands>> = {
  system: () => systemCommands,
  spawn: () => spawnCommands,
  fake,
};

for (const [name, build] of Object.entries(harnesses)) {
  void test(`${name} commands`, async (t) => {
    const commands = build();
    const sh = async (
      script: string,
      options: Partial<Parameters<Commands['run']>[2]> = {},
      args: readonly string[] = [],
    ) => commands.run('sh', ['-c', script, 'sh', ...args], { deadlineMs: 10_000, ...options });

    await t.test('give the exit code and every byte of both outputs', async (t) => {
      t.strictSame(await sh(scripts.speak), { kind: 'exited', code: 3, stdout: 'a\nb\n', stderr: 'oops\n' });
      t.strictSame(await sh(scripts.silent), { kind: 'exited', code: 0, stdout: '', stderr: '' });
    });

    await t.test('pass arguments as they are, empty and with blanks, quotes and newlines', async (t) => {
      const words = ['', 'a b', '"', "'", '$HOME', '*', 'x\ny', '--'];
      t.match(await sh(scripts.arguments, {}, words), { stdout: words.map((word) => `<${word}>`).join('') });
    });

    await t.test('hand over the input, and nothing at all without one', async (t) => {
      t.match(await sh(scripts.repeat, { input: 'line\n\nlast' }), {
        kind: 'exited',
        stdout: 'line\n\nlast',
      });
      t.match(await sh(scripts.repeat), { kind: 'exited', stdout: '' });
    });

    await t.test('say that a program is not there', async (t) => {
      const options = { deadlineMs: 10_000 };
      t.strictSame(await commands.run('no-such-program-here', [], options), { kind: 'notFound' });
      t.strictSame(await commands.run('/no/such/program', [], options), { kind: 'notFound' });
    });

    await t.test('refuse an output that is too long, and take one that just fits', async (t) => {
      t.strictSame(await sh(scripts.much, { maxBytes: 4999 }), {
        kind: 'failed',
        reason: 'wrote more than 4999 bytes',
      });
      t.match(await sh(scripts.much, { maxBytes: 5000 }), { kind: 'exited', stdout: 'x'.repeat(5000) });
    });

    await t.test('give up at the deadline, also when a child of the program holds the pipe', async (t) => {
      t.strictSame(await sh(scripts.hang, { deadlineMs: 50 }), { kind: 'timedOut' });
      t.strictSame(await sh(scripts.hangBehindChild, { deadlineMs: 50 }), { kind: 'timedOut' });
    });

    await t.test('stop when told to, before the start and in the middle', async (t) => {
      const aborted = { kind: 'failed', reason: 'aborted' };
      t.strictSame(await sh(scripts.hang, { signal: AbortSignal.abort() }), aborted);
      const stop = new AbortController();
      const running = sh(scripts.hangBehindChild, { signal: stop.signal });
      stop.abort();
      t.strictSame(await running, aborted);
    });
  });
}

void test('system commands get a clean environment, whatever the agent was started with', async (t) => {
  process.env['KSA_TEST_LEAK'] = 'leak';
  t.teardown(() => delete process.env['KSA_TEST_LEAK']);
  // Asked one by one: the test runner adds variables of its own to every program that is started.
  const script = 'printf "%s|" "$PATH" "$LC_ALL" "${KSA_TEST_LEAK-unset}" "${HOME-unset}" "${TERM-unset}"';
  const result = await systemCommands.run('/bin/sh', ['-c', script], { deadlineMs: 10_000 });
  t.match(result, {
    stdout: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|C|unset|unset|unset|',
  });
});

void test('system commands run in /, so that no mount is kept busy', async (t) => {
  t.match(await systemCommands.run('/bin/pwd', [], { deadlineMs: 10_000 }), { stdout: '/\n' });
});

void test('system commands kill the children of a program that missed its deadline', async (t) => {
  const directory = t.testdir({});
  const pidFile = path.join(directory, 'pid');
  const script = 'sleep 1000 & echo $! > "$1"; wait';
  t.strictSame(await systemCommands.run('sh', ['-c', script, 'sh', pidFile], { deadlineMs: 300 }), {
    kind: 'timedOut',
  });
  const pid = Number(readFileSync(pidFile, 'utf8'));
  t.ok(pid > 1);
  t.ok(isGone(pid), 'no orphan is left behind');
});

void test('system commands say which signal killed a program', async (t) => {
  const result = await systemCommands.run('sh', ['-c', 'kill -TERM $$'], { deadlineMs: 10_000 });
  t.strictSame(result, { kind: 'failed', reason: 'killed by SIGTERM' });
});

void test('system commands say that a file is not executable', async (t) => {
  const directory = t.testdir({ program: 'not executable' });
  const result = await systemCommands.run(path.join(directory, 'program'), [], { deadlineMs: 10_000 });
  t.match(result, { kind: 'failed', reason: /EACCES/ });
});

/** Dead, or dead and not yet reaped by its adoptive parent. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
