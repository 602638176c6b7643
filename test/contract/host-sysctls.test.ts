import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import { systemCommands } from '../../agent/host/commands.ts';
import { hostSysctls, type SysctlReading, type Sysctls } from '../../agent/host/sysctls.ts';
import { fakeCommands } from '../support/host/commands.ts';
import { namespaceFacts } from '../support/host/namespaces.ts';
import { type DrivenSysctls, remoteSysctls } from '../support/host/remote-sysctls.ts';
import { fakeSysctls } from '../support/host/sysctls.ts';
import { cannotUnshare, throwawayHost } from '../support/host/throwaway-host.ts';

const skip = cannotUnshare();
const ownNamespaces = ['unshare', '-m', '-n', '-i', '-u'];
const value = (text: string): SysctlReading => ({ kind: 'value', value: text });
const unreadable = (reason: string): unknown => ({ kind: 'unreadable', reason });

interface Harness {
  readonly sysctls: DrivenSysctls;
  readonly via: 'direct' | 'nsenter';
  readonly readerOpens: boolean;
}

const harnesses: Readonly<Record<string, { skip: string | false; build: (t: Test) => Promise<Harness> }>> = {
  'read directly on a host': {
    skip,
    build: async (t) => ({
      sysctls: await remoteSysctls(t, await throwawayHost(t)),
      via: 'direct',
      readerOpens: true,
    }),
  },
  'read through nsenter from a pod': {
    skip,
    build: async (t) => {
      const host = await throwawayHost(t);
      return { sysctls: await remoteSysctls(t, host, ownNamespaces), via: 'nsenter', readerOpens: false };
    },
  },
  fake: { skip: false, build: async () => ({ sysctls: drivenFake(), via: 'direct', readerOpens: true }) },
};

for (const [name, { skip, build }] of Object.entries(harnesses)) {
  void test(`sysctls ${name}`, { skip }, async (t) => {
    const { sysctls, via, readerOpens } = await build(t);

    await t.test('hold what was written, in the host’s namespaces', async (t) => {
      for (const [sysctl, text] of [
        ['net.core.somaxconn', '777'],
        ['kernel.shmmni', '99'],
        ['fs.mqueue.msg_max', '33'],
        ['kernel.hostname', 'a-node'],
      ] as const) {
        t.strictSame(await sysctls.write(sysctl, text), { kind: 'written' }, sysctl);
        t.strictSame((await sysctls.read([sysctl])).readings.get(sysctl), value(text), sysctl);
      }
    });

    await t.test('are read all at once, each under the name it was asked by', async (t) => {
      const names = [
        'net.core.somaxconn',
        'kernel/shmmni',
        'vm.overcommit_memory',
        'net.ipv4.conf.lo.rp_filter',
      ];
      const { readings, ...means } = await sysctls.read(names);
      t.strictSame([...readings.keys()].sort(), names.sort());
      t.strictSame(means, { via });
      t.strictSame(readings.get('kernel/shmmni'), value('99'));
      for (const reading of readings.values()) t.equal(reading.kind, 'value');
    });

    await t.test('keep tabs, and empty values, as the kernel gives them', async (t) => {
      await sysctls.write('net.ipv4.ip_local_port_range', '2000\t3000');
      await sysctls.write('net.ipv4.ip_local_reserved_ports', '');
      const { readings } = await sysctls.read([
        'net.ipv4.ip_local_port_range',
        'net.ipv4.ip_local_reserved_ports',
      ]);
      t.strictSame(readings.get('net.ipv4.ip_local_port_range'), value('2000\t3000'));
      t.strictSame(readings.get('net.ipv4.ip_local_reserved_ports'), value(''));
    });

    await t.test('are whole, also when they are longer than any usual one', async (t) => {
      // Every second port: the kernel cannot shorten it to ranges.
      const long = Array.from({ length: 12_000 }, (_unused, index) => String(2001 + index * 2)).join(',');
      t.strictSame(await sysctls.write('net.ipv4.ip_local_reserved_ports', long), { kind: 'written' });
      const { readings } = await sysctls.read(['net.ipv4.ip_local_reserved_ports', 'net.core.somaxconn']);
      t.strictSame(readings.get('net.ipv4.ip_local_reserved_ports'), value(long));
      t.strictSame(readings.get('net.core.somaxconn'), value('777'));
    });

    await t.test('do not stop at one that cannot be read', async (t) => {
      const names = [
        'net.no.such',
        'net.ipv4.route.flush',
        'vm.compact_memory',
        'not a name',
        'net.core',
        'net.core.somaxconn',
      ];
      const { readings, ...means } = await sysctls.read(names);
      t.strictSame(means, { via }, 'that is no matter of namespaces');
      t.strictSame(
        names.map((name) => readings.get(name)),
        [
          unreadable('absent'),
          unreadable('writeOnly'),
          unreadable('writeOnly'),
          unreadable('absent'),
          unreadable('absent'),
          value('777'),
        ],
      );
    });

    await t.test('tell the kernel’s reason for refusing a value', async (t) => {
      t.strictSame(await sysctls.write('net.core.somaxconn', 'many'), { kind: 'refused', reason: 'EINVAL' });
      t.strictSame(await sysctls.write('net.no.such', '1'), { kind: 'refused', reason: 'ENOENT' });
      t.strictSame(await sysctls.write('../../etc/passwd', '1'), { kind: 'refused', reason: 'ENOENT' });
      t.strictSame(
        (await sysctls.read(['net.core.somaxconn'])).readings.get('net.core.somaxconn'),
        value('777'),
      );
    });

    await t.test('are listed by prefix, sorted', async (t) => {
      const { names, ...means } = await sysctls.list('net.core.');
      t.strictSame(means, { via });
      t.ok(names.includes('net.core.somaxconn'));
      t.ok(names.every((name) => name.startsWith('net.core.')));
      t.strictSame(names, [...names].sort());
      const all = await sysctls.list('');
      for (const name of ['net.core.somaxconn', 'vm.compact_memory', 'kernel.shmmni'])
        t.ok(all.names.includes(name));
    });

    await t.test('are read again and again without another process, where that is possible', async (t) => {
      const names = [
        'net.core.somaxconn',
        'net.no.such',
        'net.ipv4.route.flush',
        'net.ipv4.ip_local_reserved_ports',
      ];
      t.equal(await sysctls.openReader(names), readerOpens);
      if (!readerOpens) return;
      const before = await sysctls.readReader();
      t.strictSame(before.slice(0, 3), [value('777'), unreadable('absent'), unreadable('writeOnly')]);
      t.equal(before[3]?.kind === 'value' && before[3].value.length > 50_000, true, 'whole, too');
      await sysctls.write('net.core.somaxconn', '778');
      await sysctls.write('net.ipv4.ip_local_reserved_ports', '80');
      const after = await sysctls.readReader();
      t.strictSame(after, [value('778'), unreadable('absent'), unreadable('writeOnly'), value('80')]);
    });
  });
}

function drivenFake(): DrivenSysctls {
  const fake = fakeSysctls({
    'net.core.somaxconn': '4096',
    'kernel.shmmni': '4096',
    'fs.mqueue.msg_max': '10',
    'kernel.hostname': 'localhost',
    'vm.overcommit_memory': '0',
    'vm.compact_memory': '',
    'net.ipv4.conf.lo.rp_filter': '0',
    'net.ipv4.ip_local_port_range': '32768\t60999',
    'net.ipv4.ip_local_reserved_ports': '',
    'net.ipv4.route.flush': '',
  });
  fake.hide('net.ipv4.route.flush', 'writeOnly');
  fake.hide('vm.compact_memory', 'writeOnly');
  let reader: ReturnType<Sysctls['openReader']>;
  return {
    read: async (names) => fake.read(names),
    async write(name, text) {
      return text === 'many' ? { kind: 'refused', reason: 'EINVAL' } : fake.write(name, text);
    },
    list: async (prefix) => fake.list(prefix),
    async openReader(names) {
      reader = fake.openReader(names);
      return reader !== undefined;
    },
    readReader: async () =>
      Array.from({ length: reader?.length ?? 0 }, (_unused, index) => reader?.read(index) ?? value('')),
  };
}

void test('a pod with its own network never takes its values for the node’s', { skip }, async (t) => {
  const host = await throwawayHost(t);
  const node = await remoteSysctls(t, host);
  const pod = await remoteSysctls(t, host, ownNamespaces);
  await node.write('net.core.somaxconn', '1234');
  await node.write('kernel.shmmni', '55');
  t.equal(
    await host.run(...ownNamespaces, 'cat', '/proc/sys/net/core/somaxconn'),
    '4096\n',
    'what the pod itself holds',
  );
  const { readings, via } = await pod.read(['net.core.somaxconn', 'kernel.shmmni', 'vm.max_map_count']);
  t.strictSame(
    [readings.get('net.core.somaxconn'), readings.get('kernel.shmmni')],
    [value('1234'), value('55')],
  );
  t.equal(via, 'nsenter');
  await pod.write('net.core.somaxconn', '4321');
  t.equal(await host.run('cat', '/proc/sys/net/core/somaxconn'), '4321\n', 'written where it is read');
});

void test('a pod that shares the network needs nobody’s help for it', { skip }, async (t) => {
  const host = await throwawayHost(t);
  const pod = await remoteSysctls(t, host, ['unshare', '-m', '-i']);
  t.equal((await pod.read(['net.core.somaxconn', 'vm.swappiness'])).via, 'direct');
  t.equal((await pod.read(['net.core.somaxconn', 'kernel.shmmni'])).via, 'nsenter');
});

void test(
  'a pod without hostPID says that it does not know, and still reads what is global',
  { skip },
  async (t) => {
    const host = await throwawayHost(t);
    const pod = await remoteSysctls(t, host, ['unshare', '-m', '-n', '-i', '-p', '-f', '--mount-proc']);
    const { readings, ...means } = await pod.read(['net.core.somaxconn', 'kernel.pid_max', 'vm.swappiness']);
    t.strictSame(readings.get('net.core.somaxconn'), unreadable('wrongNamespace'));
    t.strictSame(readings.get('kernel.pid_max'), unreadable('wrongNamespace'));
    t.equal(readings.get('vm.swappiness')?.kind, 'value');
    t.strictSame(means, { via: 'none', problem: 'the host’s PID 1 is not to be seen: run with hostPID' });
    t.match(await pod.write('net.core.somaxconn', '1'), { kind: 'refused', reason: /hostPID/ });
    t.equal((await pod.list('vm.')).via, 'direct');
    t.equal((await pod.list('net.')).via, 'none');
    t.equal(
      await pod.openReader(['net.core.somaxconn', 'vm.swappiness']),
      true,
      'nothing could be entered for it',
    );
    t.match(await pod.readReader(), [unreadable('wrongNamespace'), { kind: 'value' }]);
  },
);

void test(
  'the host’s own /proc, mounted in a pod without hostPID, is enough for all but pid_max',
  { skip },
  async (t) => {
    const host = await throwawayHost(t);
    const node = await remoteSysctls(t, host);
    await node.write('net.core.somaxconn', '1234');
    const mounted = path.join(t.testdir({ proc: {} }), 'proc');
    const mount = `mount --bind /proc ${mounted} && exec unshare -n -i -p -f --mount-proc "$@"`;
    const pod = await remoteSysctls(t, host, ['unshare', '-m', 'sh', '-c', mount, 'sh'], mounted);
    const { readings, ...means } = await pod.read(['net.core.somaxconn', 'kernel.pid_max']);
    t.strictSame(readings.get('net.core.somaxconn'), value('1234'));
    t.strictSame(readings.get('kernel.pid_max'), unreadable('wrongNamespace'));
    t.match(means, { via: 'none', problem: 'the host’s pid namespace cannot be entered: run with hostPID' });
  },
);

void test('without the right to enter, the reason says so', { skip }, async (t) => {
  const host = await throwawayHost(t);
  const bounded = ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'];
  const pod = await remoteSysctls(t, host, [...ownNamespaces, ...bounded]);
  const { readings, ...means } = await pod.read(['net.core.somaxconn']);
  t.strictSame(readings.get('net.core.somaxconn'), unreadable('wrongNamespace'));
  t.match(means, { via: 'none', problem: /^nsenter: .*Permission denied/ });
});

void test('a reader notices that a network device came back', { skip }, async (t) => {
  const host = await throwawayHost(t);
  const node = await remoteSysctls(t, host);
  const add = ['ip', 'link', 'add', 'eth0.100', 'type', 'veth', 'peer', 'name', 'other'];
  const name = 'net.ipv4.conf.eth0/100.rp_filter';
  t.equal(await node.openReader([name]), true);
  t.strictSame(await node.readReader(), [unreadable('absent')]);
  await host.run(...add);
  await host.run('sh', '-c', 'echo 2 > /proc/sys/net/ipv4/conf/eth0.100/rp_filter');
  t.strictSame(await node.readReader(), [value('2')]);
  t.ok((await node.list('net.ipv4.conf.eth0/100.')).names.includes(name), 'its dot is no separator');
  await host.run('ip', 'link', 'del', 'eth0.100');
  t.strictSame(await node.readReader(), [unreadable('absent')]);
  await host.run(...add);
  await host.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/eth0.100/rp_filter');
  t.strictSame(await node.readReader(), [value('1')]);
});

void test('nsenter runs once for all names, and enters only what differs', async (t) => {
  const procDir = procTree(t);
  const commands = fakeCommands({
    nsenter: (_args, input) => {
      const request = JSON.parse(input) as { read: string[]; links: string[] };
      const answer = {
        links: ['net:[7]', 'ipc:[8]'],
        readings: request.read.map((file) => ({ text: `${path.basename(file)}\n` })),
      };
      return { kind: 'exited', code: 0, stdout: JSON.stringify(answer), stderr: '' };
    },
  });
  const facts = namespaceFacts({ net: 'other', ipc: 'other' });
  const sysctls = hostSysctls({ commands, procDir, namespaces: () => facts });
  const { readings, via } = await sysctls.read([
    'net.core.somaxconn',
    'kernel.sem',
    'net.ipv4.tcp_mem',
    'vm.swappiness',
  ]);
  t.equal(via, 'nsenter');
  t.strictSame(
    [...readings],
    [
      ['net.core.somaxconn', value('somaxconn')],
      ['kernel.sem', value('sem')],
      // Not namespaced, yet there is no such file in any network but the host's.
      ['net.ipv4.tcp_mem', value('tcp_mem')],
      ['vm.swappiness', value('60')],
    ],
  );
  t.equal(commands.calls.length, 1);
  t.strictSame(commands.calls[0]?.args.slice(0, 3), [
    `--net=${procDir}/1/ns/net`,
    `--ipc=${procDir}/1/ns/ipc`,
    '--',
  ]);
});

void test('an answer from anywhere but the host’s namespaces is not believed', async (t) => {
  const answers = [
    {
      text: JSON.stringify({ links: ['net:[6]'], readings: [{ text: '1\n' }] }),
      problem: 'nsenter did not enter the net namespace',
    },
    {
      text: JSON.stringify({ links: [], readings: [{ text: '1\n' }] }),
      problem: 'nsenter did not enter the net namespace',
    },
    { text: 'oops', problem: 'the process in the host’s namespaces answered something that is no JSON' },
  ];
  for (const { text, problem } of answers) {
    const commands = fakeCommands({ nsenter: () => ({ kind: 'exited', code: 0, stdout: text, stderr: '' }) });
    const sysctls = hostSysctls({
      commands,
      procDir: procTree(t),
      namespaces: () => namespaceFacts({ net: 'other' }),
    });
    const { readings, ...means } = await sysctls.read(['net.core.somaxconn']);
    t.strictSame(readings.get('net.core.somaxconn'), unreadable('wrongNamespace'));
    t.strictSame(means, { via: 'none', problem });
  }
});

void test('an nsenter that is missing, hangs or dies makes values unknown', async (t) => {
  for (const [program, problem] of [
    [undefined, 'nsenter is not installed'],
    ['hangs', 'nsenter gave no answer in 20 ms'],
    [{ kind: 'failed', reason: 'killed by SIGKILL' }, 'nsenter: killed by SIGKILL'],
    [{ kind: 'exited', code: 1, stdout: '', stderr: '' }, 'nsenter: exit code 1'],
  ] as const) {
    const commands = fakeCommands(program === undefined ? {} : { nsenter: () => program });
    const namespaces = () => namespaceFacts({ net: 'other' });
    const sysctls = hostSysctls({ commands, procDir: procTree(t), namespaces, deadlineMs: 20 });
    const { readings, ...means } = await sysctls.read(['net.core.somaxconn', 'vm.swappiness']);
    t.strictSame([...readings.values()], [unreadable('wrongNamespace'), value('60')]);
    t.strictSame(means, { via: 'none', problem });
  }
});

void test('values that hold newlines, or end without one, come through as they are', async (t) => {
  const procDir = procTree(t);
  const files = path.join(procDir, 'sys', 'vm');
  const texts = {
    lines: 'a\nb\n\n',
    bare: 'x',
    empty: '',
    newline: '\n',
    full: `${'x'.repeat(4095)}\n`,
    unicode: 'ü"\\\u0001\n',
  };
  for (const [name, text] of Object.entries(texts)) writeFileSync(path.join(files, name), text);
  const sysctls = hostSysctls({ commands: systemCommands, procDir, namespaces: () => namespaceFacts() });
  const names = Object.keys(texts).map((name) => `vm.${name}`);
  const expected = ['a\nb\n', 'x', '', '', 'x'.repeat(4095), 'ü"\\\u0001'].map(value);
  t.strictSame([...(await sysctls.read(names)).readings.values()], expected);
  const reader = sysctls.openReader(names);
  t.teardown(() => reader?.close());
  t.strictSame(
    names.map((_name, index) => reader?.read(index)),
    expected,
  );
  t.equal(reader?.read(0), reader?.read(0), 'no new object while the value stays');
});

void test('a value of more than a megabyte is called too long, a shorter one is whole', async (t) => {
  const procDir = procTree(t);
  const limit = 1024 * 1024;
  writeFileSync(path.join(procDir, 'sys', 'vm', 'fits'), 'x'.repeat(limit - 1));
  writeFileSync(path.join(procDir, 'sys', 'vm', 'exceeds'), 'x'.repeat(limit));
  const sysctls = hostSysctls({ commands: systemCommands, procDir, namespaces: () => namespaceFacts() });
  const { readings } = await sysctls.read(['vm.fits', 'vm.exceeds']);
  t.strictSame(readings.get('vm.fits'), value('x'.repeat(limit - 1)));
  t.strictSame(readings.get('vm.exceeds'), unreadable('tooLong'));
});

void test('a reader goes from a value to none and back without mixing them up', async (t) => {
  const procDir = procTree(t);
  const file = path.join(procDir, 'sys', 'vm', 'swappiness');
  const sysctls = hostSysctls({ commands: systemCommands, procDir, namespaces: () => namespaceFacts() });
  const reader = sysctls.openReader(['vm.swappiness']);
  t.teardown(() => reader?.close());
  t.strictSame(reader?.read(0), value('60'));
  writeFileSync(file, 'x'.repeat(1024 * 1024));
  t.strictSame(reader?.read(0), unreadable('tooLong'));
  writeFileSync(file, '60\n');
  t.strictSame(reader?.read(0), value('60'));
});

/** A /proc with files in place of the kernel, whose PID 1 lives in `net:[7]`, `ipc:[8]`. */
function procTree(t: Test): string {
  const procDir = t.testdir({ 1: { ns: {} }, sys: { vm: { swappiness: '60\n' } } });
  mkdirSync(path.join(procDir, 'sys', 'net'));
  symlinkSync('net:[7]', path.join(procDir, '1', 'ns', 'net'));
  symlinkSync('ipc:[8]', path.join(procDir, '1', 'ns', 'ipc'));
  return procDir;
}
