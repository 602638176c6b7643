import { readlinkSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import { type NamespaceFacts, readNamespaces } from '../../agent/host/namespaces.ts';
import { namespaceFacts } from '../support/host/namespaces.ts';
import { cannotUnshare, throwawayHost } from '../support/host/throwaway-host.ts';

const skip = cannotUnshare();
const source = new URL('../../agent/host/namespaces.ts', import.meta.url).href;

/** The command that reads the facts in a process of its own, behind a prefix that changes namespaces. */
function readIn(prefix: readonly string[], procDir = '/proc'): readonly string[] {
  const script = `import(${JSON.stringify(source)}).then((m) => console.log(JSON.stringify(m.readNamespaces(${JSON.stringify(procDir)}))))`;
  return [...prefix, process.execPath, '-e', script];
}

async function factsIn(t: Test, prefix: readonly string[], name?: string): Promise<NamespaceFacts> {
  const host = await throwawayHost(t, name);
  return JSON.parse(await host.run(...readIn(prefix))) as NamespaceFacts;
}

void test('a process of the host is in all of its namespaces', { skip }, async (t) => {
  t.strictSame(await factsIn(t, []), namespaceFacts({ mnt: 'host' }));
});

void test('a pod with the host’s network, IPC and PIDs differs in its mounts alone', { skip }, async (t) => {
  t.strictSame(await factsIn(t, ['unshare', '-m']), namespaceFacts());
});

for (const [flag, kind] of [
  ['-n', 'net'],
  ['-i', 'ipc'],
  ['-u', 'uts'],
] as const) {
  void test(`a pod with a ${kind} namespace of its own knows that it differs`, { skip }, async (t) => {
    t.strictSame(await factsIn(t, ['unshare', '-m', flag]), namespaceFacts({ [kind]: 'other' }));
  });
}

void test('a pod without hostPID does not take its own PID 1 for the host’s', { skip }, async (t) => {
  const facts = await factsIn(t, ['unshare', '-m', '-p', '-f', '--mount-proc']);
  t.strictSame(facts, {
    // The user namespace is the machine's first one: that needs no PID 1 to know.
    ...namespaceFacts({ net: 'unknown', ipc: 'unknown', pid: 'unknown', uts: 'unknown', mnt: 'unknown' }),
    hostInit: 'notSeen',
  });
});

void test(
  'a pod without hostPID sees the host’s PID 1 through a mounted /proc of the host',
  { skip },
  async (t) => {
    const host = await throwawayHost(t);
    const mounted = path.join(t.testdir({ proc: {} }), 'proc');
    const mount = `mount --bind /proc ${mounted} && exec unshare -p -f --mount-proc -n "$@"`;
    const facts = await host.run('unshare', '-m', 'sh', '-c', mount, 'sh', ...readIn([], mounted));
    t.strictSame(JSON.parse(facts), namespaceFacts({ net: 'other', pid: 'other' }));
  },
);

void test(
  'a PID 1 that is no systemd is the host’s only in the kernel’s first pid namespace',
  { skip },
  async (t) => {
    for (const name of ['init', 'pause', 'tini', 'node']) {
      t.match(
        await factsIn(t, [], name),
        { hostInit: 'notSeen', net: 'unknown', ipc: 'unknown', pid: 'unknown' },
        name,
      );
    }
  },
);

void test('without the right to look at PID 1 the network is told by its files', { skip }, async (t) => {
  const bounded = ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'];
  const denied = { ipc: 'unknown', uts: 'unknown', mnt: 'unknown', hostInit: 'seen' };
  t.match(await factsIn(t, bounded), { ...denied, net: 'host' });
  t.match(await factsIn(t, ['unshare', '-n', ...bounded]), { ...denied, net: 'other' });
});

void test('the kernel’s first namespaces are the host’s although its PID 1 may not be looked at', async (t) => {
  const directory = procTree(t, {
    pid: 0xefff_fffc,
    ipc: 0xefff_ffff,
    uts: 0xefff_fffe,
    user: 0xefff_fffd,
    net: 4_026_531_992,
    mnt: 4_026_532_001,
  });
  t.match(readNamespaces(directory), {
    pid: 'host',
    ipc: 'host',
    uts: 'host',
    user: 'host',
    net: 'unknown',
    mnt: 'unknown',
  });
  const newer = procTree(t, { pid: 0xefff_fffc, net: 0xefff_fff9, mnt: 0xefff_fff8 });
  t.match(readNamespaces(newer), { hostInit: 'seen', net: 'host', mnt: 'host' }, 'numbered since 6.18');
});

void test('a /proc that holds nothing makes everything unknown', async (t) => {
  const unknown = {
    net: 'unknown',
    ipc: 'unknown',
    pid: 'unknown',
    uts: 'unknown',
    mnt: 'unknown',
    user: 'unknown',
  };
  t.strictSame(readNamespaces(t.testdir({})), { ...unknown, hostInit: 'notSeen' });
});

const inUserNamespace = readlinkSync('/proc/self/ns/user') !== 'user:[4026531837]';

void test(
  'the numbers of the first namespaces are this kernel’s own',
  { skip: inUserNamespace && 'the tests run in a user namespace' },
  async (t) => {
    t.equal(readNamespaces().user, 'host');
  },
);

/** A /proc in which PID 1's links are missing, as if denied. */
function procTree(t: Test, inodes: Readonly<Record<string, number>>): string {
  const directory = t.testdir({
    self: { ns: {}, status: 'Name:\tnode\nNSpid:\t41\n' },
    1: { comm: 'machined\n' },
  });
  for (const [kind, inode] of Object.entries(inodes)) {
    symlinkSync(`${kind}:[${inode}]`, path.join(directory, 'self', 'ns', kind));
  }
  return directory;
}
