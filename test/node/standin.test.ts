import { test } from 'tap';
import type { Test } from 'tap';
import { bootNode, nodeTierUnavailable } from './support/node.ts';
import type { RunResult, TestNode } from './support/node.ts';

// The texts are those of a real kubelet 1.36.2, given the same arguments.
const skip = nodeTierUnavailable() ?? false;

const segment = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const malformed = (entry: string, separators: string): string =>
  `failed to run Kubelet: failed to create kubelet: sysctl "${entry}" must have at most 253 characters ` +
  `and match regex (${segment}${separators})*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]`;
const slashed = String.raw`[\./]`;
const unknown = (name: string): string =>
  `failed to run Kubelet: failed to create kubelet: the ${name} are not known to be namespaced`;

void test('the stand-in takes and refuses entries as the version that it claims', { skip }, async (t) => {
  const node = await bootNode(
    { layout: 'masked', kubelet: 'standin', faults: ['exit-after-seconds 0.001'] },
    t,
  );
  const cases: readonly [version: string, value: string, refusal: string | undefined][] = [
    ['v1.36.2', 'net.*,net/core/somaxconn*,fs.mqueue.*,kernel.shm*,kernel.msg*,kernel.sem*', undefined],
    ['v1.36.2', '', undefined],
    ['v1.36.2', '"net.core.somaxconn",net.bogus', undefined],
    ['v1.36.2', 'net*', unknown('sysctls "net"')],
    ['v1.36.2', 'vm.swappiness', unknown('sysctls "vm.swappiness"')],
    ['v1.36.2', 'kernel.shm_*', unknown('sysctls "kernel.shm_"')],
    ['v1.28.2', 'kernel.shm_*,kernel.shm_next_id', undefined],
    ['v1.28.2', 'vm.swappiness', unknown('sysctl "vm.swappiness"')],
    ['v1.28.2', 'vm.*', unknown('sysctls "vm.*"')],
    ['v1.22.17', 'net/core/somaxconn', malformed('net/core/somaxconn', String.raw`\.`)],
    ['v1.36.2', 'net.core.*.foo', malformed('net.core.*.foo', slashed)],
    ['v1.36.2', 'net.core.somaxconn,', malformed('', slashed)],
    ['v1.36.2', 'net.core.somaxconn, net.*', malformed(' net.*', slashed)],
    ['v1.36.2', 'net.core.Somaxconn', malformed('net.core.Somaxconn', slashed)],
  ];
  const one = async ([version, value, refusal]: (typeof cases)[number]): Promise<void> => {
    const flag = `--allowed-unsafe-sysctls=${value}`;
    const { code, stderr } = await node.exec(['/opt/agent/kubelet', flag, '--healthz-port=0'], {
      env: { STANDIN_VERSION: version },
    });
    t.equal(code, 1);
    t.equal(errorIn(stderr), refusal, `${version} ${value}`);
  };
  await Promise.all(cases.map(one));
});

void test('the stand-in reads its command line and its files as the kubelet does', { skip }, async (t) => {
  const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
  const files = {
    '/c/block': `${head}allowedUnsafeSysctls: # why\n  - net.a # one\n  - "net.b"\n  - 'net.c'\nmaxPods: 3\n`,
    '/c/flow': `${head}allowedUnsafeSysctls: [net.a, "net.b",\n  'net.c']\nmaxPods: 3\n`,
    '/c/json': `{"kind":"KubeletConfiguration","apiVersion":"kubelet.config.k8s.io/v1beta1","allowedUnsafeSysctls":["net.a"]}`,
    '/c/text': `${head}allowedUnsafeSysctls: net.a,net.b\n`,
    '/c/kindless': `allowedUnsafeSysctls: [net.a]\n`,
    '/d/20.conf': `${head}allowedUnsafeSysctls: [net.d]\n`,
    '/d/10.conf': `${head}allowedUnsafeSysctls: [net.e]\n`,
    '/d/30.conf.bak': `torn`,
  };
  const node = await bootNode(
    { layout: 'masked', kubelet: 'standin', faults: ['exit-after-seconds 0.001'], files },
    t,
  );
  const takes = async (args: readonly string[], entries: readonly string[]): Promise<void> => {
    const { stderr } = await kubelet(node, args);
    const list = /allowedUnsafeSysctls=\[(.*)\]\n/.exec(stderr)?.[1];
    t.equal(list, entries.map((entry) => `"${entry}"`).join(','), args.join(' '));
  };
  await takes(['--config=/c/block'], ['net.a', 'net.b', 'net.c']);
  await takes(['--config', '/c/flow'], ['net.a', 'net.b', 'net.c']);
  await takes(['--config=/c/json'], ['net.a']);
  await takes(['--config=/c/json', '--config-dir=/d'], ['net.d']);
  await takes(['--config=/c/json', '--allowed_unsafe_sysctls', 'net.f'], ['net.f']);
  await takes(['--config=/c/json', '--allowed-unsafe-sysctls='], []);
  await takes(
    ['--allowed-unsafe-sysctls=net.a', '--allowed-unsafe-sysctls=net.b,net.c'],
    ['net.a', 'net.b', 'net.c'],
  );

  const refuses = async (args: readonly string[], error: string): Promise<void> => {
    const { code, stderr } = await kubelet(node, args);
    t.equal(code, 1);
    t.equal(errorIn(stderr), error, args.join(' '));
  };
  await refuses(['--nope'], 'failed to parse kubelet flag: unknown flag: --nope');
  await refuses(
    ['-allowed-unsafe-sysctls=a'],
    "failed to parse kubelet flag: unknown shorthand flag: 'a' in -allowed-unsafe-sysctls=a",
  );
  await refuses([''], 'unknown command ');
  await refuses(["--allowed-unsafe-sysctls='net.*"], malformed("'net.*", slashed));
  await refuses(
    ['--allowed-unsafe-sysctls=a"b'],
    'failed to parse kubelet flag: invalid argument "a\\"b" for "--allowed-unsafe-sysctls" flag: ' +
      'parse error on line 1, column 2: bare " in non-quoted-field',
  );
  await refuses(
    ['--config=/c/text'],
    'failed to load kubelet config file, path: /c/text, error: failed to load Kubelet config file /c/text, error ' +
      'failed to decode: json: cannot unmarshal string into Go struct field ' +
      'KubeletConfiguration.allowedUnsafeSysctls of type []string',
  );
  t.match((await kubelet(node, ['--config=/c/kindless'])).stderr, "Object 'Kind' is missing in");
  t.same(await kubelet(node, ['--version']), { code: 0, stdout: 'Kubernetes v1.36.2\n', stderr: '' });
});

void test('the stand-in breaks as told, and with-flag: only while it has a list', { skip }, async (t) => {
  const node = await bootNode({ layout: 'kubeadm', kubelet: 'standin' }, t);
  const flag = (value: string): void => node.write('/etc/default/kubelet', `KUBELET_EXTRA_ARGS=${value}\n`);
  const restart = async (): Promise<string> => node.systemctl('restart', 'kubelet');

  node.faults(['with-flag:exit-at-once']);
  await restart();
  await node.waitForKubelet();
  flag('--allowed-unsafe-sysctls=net.core.somaxconn');
  await restart();
  await isIn(t, node, 'activating/auto-restart');
  flag('');
  await restart();
  await node.waitForKubelet();

  node.faults(['healthz-500']);
  await restart();
  await node.waitFor(async () => (await node.healthz())?.status === 500, { what: '/healthz to fail' });

  node.faults(['hang-without-healthz']);
  await restart();
  await node.waitFor(
    async () =>
      node.read('/run/standin-kubelet/pid').toString().trim() === (await node.property('ExecMainPID')),
    {
      what: 'the hanging kubelet to be up',
    },
  );
  t.equal(await node.healthz(), undefined);

  node.faults(['flap']);
  await restart();
  await node.waitForKubelet();
  await isIn(t, node, 'activating/auto-restart');

  const starts = Number(node.read('/run/standin-kubelet/starts').toString());
  node.faults([`exit-on-start-number ${starts + 2}`]);
  await restart();
  await node.waitForKubelet();
  await restart();
  await isIn(t, node, 'activating/auto-restart');
  await restart();
  await node.waitForKubelet();
});

void test('a kubelet of Type=notify that is never ready keeps its start job waiting', { skip }, async (t) => {
  const node = await bootNode({ layout: 'notify', kubelet: 'standin' }, t);
  node.faults(['never-ready']);
  await node.systemctl('--no-block', 'restart', 'kubelet');
  await node.waitFor(async () => (await node.healthz())?.body === 'ok', { what: '/healthz' });
  t.equal(await state(node), 'activating/start');
});

void test('the kubelet of a standalone node, real or not, refuses in these words', { skip }, async (t) => {
  const node = await bootNode({ layout: 'standalone' }, t);
  const path = '/etc/systemd/system/kubelet.service';
  const unit = node.read(path).toString();
  const allow = async (entries: string): Promise<void> => {
    const flag = `--node-ip=127.0.0.1 --allowed-unsafe-sysctls=${entries}`;
    node.write(path, unit.replace('--node-ip=127.0.0.1', flag));
    await node.systemctl('daemon-reload');
    await node.systemctl('restart', 'kubelet');
  };
  await allow('net.core.somaxconn,net.ipv4.tcp_*');
  await node.waitForKubelet();
  await allow('net.core.somaxconn,vm.swappiness');
  const words = await node.waitFor(async () => errorIn(await node.journal('kubelet')), { what: 'a refusal' });
  t.equal(words, unknown('sysctls "vm.swappiness"'));
  await isIn(t, node, 'activating/auto-restart');
  await allow('');
  await node.waitForKubelet();
});

async function kubelet(node: TestNode, args: readonly string[]): Promise<RunResult> {
  return node.exec(['/opt/agent/kubelet', ...args]);
}

/** The err="…" of a "command failed" line, unquoted. */
function errorIn(stderr: string): string | undefined {
  const quoted = /"command failed" err=(".*")\n/.exec(stderr)?.[1];
  return quoted === undefined ? undefined : String(JSON.parse(quoted));
}

async function state(node: TestNode): Promise<string> {
  return `${await node.property('ActiveState')}/${await node.property('SubState')}`;
}

async function isIn(t: Test, node: TestNode, wanted: string): Promise<void> {
  await node.waitFor(async () => (await state(node)) === wanted, { what: `the kubelet to be ${wanted}` });
  t.pass(wanted);
}
