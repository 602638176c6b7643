import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import { type CommandResult, systemCommands } from '../../agent/host/commands.ts';
import {
  kernelRelease,
  kubeletVersion,
  readProcess,
  type ReadProcess,
} from '../../agent/host/kubelet-process.ts';
import { fileId } from '../../agent/host/file-id.ts';
import { fakeCommands } from '../support/host/commands.ts';
import { fakeProcesses } from '../support/host/kubelet-process.ts';

interface Harness {
  readonly read: ReadProcess;
  /** Starts a program of its own file with these arguments (the first is the file) and environment. */
  start(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
  ): Promise<{ pid: number; file: string }>;
  replaceExecutable(pid: number, file: string): void;
  stop(pid: number): Promise<void>;
}

const harnesses: Readonly<Record<string, (t: Test) => Harness>> = {
  real: (t) => {
    const children = new Map<number, ChildProcess>();
    const stop = async (pid: number): Promise<void> => {
      const child = children.get(pid);
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    };
    t.teardown(async () => Promise.all([...children.keys()].map(stop)));
    return {
      read: readProcess,
      async start(args, environment) {
        const file = path.join(t.testdir({}), 'kubelet');
        copyFileSync('/bin/sh', file);
        // The shell waits for its input, having said that it runs: exec is over by then.
        const child = spawn(file, ['-c', 'echo up; read line', ...args], {
          env: environment,
          stdio: ['pipe', 'pipe', 'inherit'],
        });
        await once(child.stdout, 'data');
        const pid = child.pid ?? 0;
        children.set(pid, child);
        return { pid, file };
      },
      replaceExecutable(_pid, file) {
        copyFileSync('/bin/sh', `${file}.new`);
        renameSync(`${file}.new`, file);
      },
      stop,
    };
  },
  fake: () => {
    const fake = fakeProcesses();
    return {
      read: (pid) => fake.read(pid),
      async start(args, environment) {
        const file = '/usr/bin/kubelet';
        const { pid } = fake.start({ argv: [file, '-c', 'echo up; read line', ...args], environment });
        return { pid, file };
      },
      replaceExecutable(pid) {
        fake.replaceExecutable(pid);
      },
      async stop(pid) {
        fake.stop(pid);
      },
    };
  },
};

for (const [name, build] of Object.entries(harnesses)) {
  void test(`${name} processes`, async (t) => {
    await t.test('show every argument, also empty ones and such with blanks and newlines', async (t) => {
      const harness = build(t);
      const words = ['--a=b', '', 'x y', 'two\nlines', '--allowed-unsafe-sysctls=net.*', ''];
      const { pid, file } = await harness.start(words, {});
      t.strictSame(harness.read(pid)?.argv, [file, '-c', 'echo up; read line', ...words]);
    });

    await t.test('show the program, its environment and when it started', async (t) => {
      const harness = build(t);
      const { pid, file } = await harness.start([], { KUBELET_CONFIG_DROPIN_DIR_ALPHA: 'on', EQUALS: 'a=b' });
      const seen = harness.read(pid);
      t.equal(seen?.pid, pid);
      t.equal(seen?.executable, file);
      t.equal(seen?.executableDeleted, false);
      t.equal(seen?.environment['KUBELET_CONFIG_DROPIN_DIR_ALPHA'], 'on');
      t.equal(seen?.environment['EQUALS'], 'a=b');
      t.ok((seen?.startedAtMs ?? 0) > Date.UTC(2025, 0, 1), 'in milliseconds since the epoch');
    });

    await t.test('notice that the program file was replaced under a running process', async (t) => {
      const harness = build(t);
      const { pid, file } = await harness.start([], {});
      harness.replaceExecutable(pid, file);
      const seen = harness.read(pid);
      t.equal(seen?.executable, file, 'without the mark of the kernel');
      t.equal(seen?.executableDeleted, true);
    });

    await t.test('are gone once they ended', async (t) => {
      const harness = build(t);
      const { pid } = await harness.start([], {});
      await harness.stop(pid);
      t.equal(harness.read(pid), undefined);
    });
  });
}

void test('a process is known by its start as well as by its pid', async (t) => {
  const self = readProcess(process.pid);
  t.ok(self !== undefined);
  t.ok(
    Math.abs((self?.startedAtMs ?? 0) - (Date.now() - process.uptime() * 1000)) < 2500,
    'to about a second',
  );
  t.equal(self?.startTicks, readProcess(process.pid)?.startTicks);
  t.equal(self?.executableId, fileId(process.execPath));
});

void test('a name full of parentheses and blanks does not confuse the fields of stat', async (t) => {
  const directory = t.testdir({ proc: { stat: 'cpu 1 2\nbtime 1700000000\n' } });
  const proc = path.join(directory, 'proc');
  mkdirSync(path.join(proc, '7'));
  const fields = Array.from({ length: 50 }, (_unused, index) => String(index + 3));
  writeFileSync(path.join(proc, '7', 'stat'), `7 (a) S 1 (b c)) ${fields.join(' ')}\n`);
  writeFileSync(path.join(proc, '7', 'cmdline'), 'kubelet');
  writeFileSync(path.join(proc, '7', 'environ'), '');
  symlinkSync('/usr/bin/kubelet (deleted)', path.join(proc, '7', 'exe'));
  t.match(readProcess(7, proc), {
    argv: ['kubelet'],
    executable: '/usr/bin/kubelet',
    executableDeleted: true,
    startTicks: 22,
    startedAtMs: 1_700_000_000_220,
  });
});

void test('a zombie is no process', async (t) => {
  // The shell becomes sleep, which never reaps the child that the shell left: it ends once nothing can read any more.
  const script = 'read line <&3 & echo $!; exec sleep 1000';
  const parent = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  t.teardown(async () => {
    parent.kill('SIGKILL');
    await once(parent, 'exit');
  });
  const [chunk] = (await once(parent.stdout ?? parent, 'data')) as [Buffer];
  const pid = Number(chunk.toString());
  const becomes = async (file: string, wanted: RegExp): Promise<void> => {
    while (!wanted.test(readFileSync(file, 'utf8'))) await new Promise(setImmediate);
  };
  await becomes(`/proc/${parent.pid}/comm`, /^sleep$/m);
  t.equal(readProcess(pid)?.pid, pid);
  parent.stdio[3]?.destroy();
  await becomes(`/proc/${pid}/status`, /^State:\s+Z/m);
  t.equal(readProcess(pid), undefined);
});

const prints = (stdout: string, code = 0): CommandResult => ({ kind: 'exited', code, stdout, stderr: '' });

void test('the version is what the node’s own program says', async (t) => {
  for (const [stdout, version] of [
    ['Kubernetes v1.36.2\n', 'v1.36.2'],
    ['Kubernetes v1.27.4+deadbeef', 'v1.27.4+deadbeef'],
    ['Flag --x has been deprecated\nKubernetes v1.20.0-rc.1\n', 'v1.20.0-rc.1'],
    ['k3s version v1.27.3+k3s1 (abcdef12)\ngo version go1.20.5\n', 'v1.27.3+k3s1'],
    ['Docker version 24.0.5, build ced0996\n', undefined],
    ['Kubernetes\n', undefined],
    ['', undefined],
  ] as const) {
    const commands = fakeCommands({ '/usr/bin/kubelet': () => prints(stdout) });
    t.equal(
      await kubeletVersion(commands, { executable: '/usr/bin/kubelet', root: '/' }),
      version,
      JSON.stringify(stdout),
    );
    t.match(commands.calls, [
      { file: '/usr/bin/kubelet', args: ['--version'], options: { deadlineMs: 10_000 } },
    ]);
  }
});

void test('hyperkube is told which of its programs is meant', async (t) => {
  const commands = fakeCommands({ '/hyperkube': () => prints('Kubernetes v1.16.0\n') });
  t.equal(
    await kubeletVersion(commands, { executable: '/hyperkube', argvPrefix: ['kubelet'], root: '/' }),
    'v1.16.0',
  );
  t.strictSame(commands.calls[0]?.args, ['kubelet', '--version']);
});

void test('the version is unknown on any doubt', async (t) => {
  const outcomes: readonly (CommandResult | 'hangs')[] = [
    'hangs',
    { kind: 'notFound' },
    { kind: 'failed', reason: 'killed by SIGSEGV' },
    prints('Kubernetes v1.36.2\n', 1),
  ];
  for (const outcome of outcomes) {
    const commands = fakeCommands({ '/usr/bin/kubelet': () => outcome });
    t.equal(await kubeletVersion(commands, { executable: '/usr/bin/kubelet', root: '/' }), undefined);
  }
  const commands = fakeCommands({ kubelet: () => prints('Kubernetes v1.36.2\n') });
  t.equal(
    await kubeletVersion(commands, { executable: 'kubelet', root: '/' }),
    undefined,
    'nothing is searched in PATH',
  );
  t.strictSame(commands.calls, []);
});

void test('a program of an image is not run', async (t) => {
  const directory = t.testdir({ image: { usr: {} }, proc: { 1: { root: {} } } });
  const commands = fakeCommands({ nsenter: () => prints('Kubernetes v1.36.2\n') });
  const question = {
    executable: '/usr/bin/kubelet',
    root: path.join(directory, 'image'),
    procDir: path.join(directory, 'proc'),
  };
  t.equal(await kubeletVersion(commands, question), undefined);
  t.strictSame(commands.calls, []);
});

void test('a mounted host root is asked inside the mount namespace of PID 1', async (t) => {
  const directory = t.testdir({ host: { usr: {} }, proc: { 1: {} } });
  const procDir = path.join(directory, 'proc');
  symlinkSync(path.join(directory, 'host'), path.join(procDir, '1', 'root'));
  const commands = fakeCommands({ nsenter: () => prints('Kubernetes v1.36.2\n') });
  const question = { executable: '/usr/bin/kubelet', root: path.join(directory, 'host'), procDir };
  t.equal(await kubeletVersion(commands, question), 'v1.36.2');
  t.strictSame(commands.calls[0]?.args, [
    `--mount=${procDir}/1/ns/mnt`,
    '--',
    '/usr/bin/kubelet',
    '--version',
  ]);
});

void test('a running program tells its version although its file is gone', async (t) => {
  const directory = t.testdir({});
  const file = path.join(directory, 'kubelet');
  copyFileSync('/bin/sh', file);
  const child = spawn(file, ['-c', 'echo up; read line'], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child.stdout, 'data');
  renameSync(file, `${file}.old`);
  const script = 'printf "Kubernetes v1.36.2\\n"; :';
  const question = { executable: `/proc/${child.pid}/exe`, argvPrefix: ['-c', script], root: '/' };
  t.equal(await kubeletVersion(systemCommands, question), 'v1.36.2');
});

void test('the kernel release is the one in /proc', async (t) => {
  t.equal(`${kernelRelease()}\n`, readFileSync('/proc/sys/kernel/osrelease', 'utf8'));
});
