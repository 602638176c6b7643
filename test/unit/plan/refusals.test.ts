import { test } from 'tap';
import type { ErrorCode } from '../../../agent/errors.ts';
import { forceableCodes } from '../../../agent/errors.ts';
import {
  type Files,
  type NodeSpec,
  codesOf,
  image,
  nowMs,
  planFor,
  policyOf,
  runningNode,
} from './support/node.ts';

const unit = '/etc/systemd/system/kubelet.service';
const plain = '[Service]\nExecStart=/usr/bin/kubelet --v=2\nRestart=always\n';
const command = { path: '/usr/bin/kubelet', argv: ['/usr/bin/kubelet', '--v=2'], flags: [] };
const sh = (text: string): { path: string; argv: string[]; flags: string[] } => ({
  path: '/bin/sh',
  argv: ['/bin/sh', '-c', text],
  flags: [],
});
const configured = '[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubelet.yaml\n';
const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

const cases: readonly [title: string, codes: readonly ErrorCode[], files: Files, spec?: NodeSpec][] = [
  ['no unit at all', ['UNIT_NOT_FOUND'], {}],
  ['a masked unit', ['UNIT_MASKED'], { [unit]: { link: '/dev/null' } }],
  [
    'a unit that systemd could not load',
    ['UNIT_NOT_LOADED'],
    { [unit]: plain },
    { loaded: { loadState: 'bad-setting' } },
  ],
  [
    'a kubelet that does not run',
    ['UNIT_NOT_ACTIVE'],
    { [unit]: plain },
    { loaded: { activeState: 'failed' } },
  ],
  [
    'a kubelet that systemd just restarted',
    ['UNIT_UNSTABLE'],
    { [unit]: plain },
    { loaded: { nRestarts: 3, mainStartedAtMs: nowMs - 5_000 } },
  ],
  [
    'nothing, of a kubelet whose last start lies ahead of a clock that was set back',
    [],
    { [unit]: plain },
    { loaded: { nRestarts: 3, mainStartedAtMs: nowMs + 3_600_000 } },
  ],
  [
    'a unit that systemd restarts for nobody',
    ['UNIT_NOT_RESTARTABLE'],
    { [unit]: plain },
    { loaded: { mayRestart: false } },
  ],
  ['a job in the queue', ['UNIT_JOB_QUEUED'], { [unit]: plain }, { loaded: { jobQueued: true } }],
  [
    'edits that systemd has not read',
    ['UNIT_NEEDS_RELOAD'],
    { [unit]: plain },
    { loaded: { needDaemonReload: true } },
  ],
  [
    'a command line that the kubelet does not have yet',
    ['UNIT_CHANGED_SINCE_START'],
    { [unit]: plain },
    { argv: ['/usr/bin/kubelet', '--v=4'] },
  ],
  [
    'a configuration edited since the start',
    ['UNIT_CHANGED_SINCE_START'],
    { [unit]: configured, '/etc/kubelet.yaml': head },
    { loaded: { mainStartedAtMs: -10_000 } },
  ],
  ['a wrapper', ['UNIT_WRAPPED'], { [unit]: '[Service]\nExecStart=/bin/sh -c "exec kubelet"\n' }],
  [
    'a script under the name of the kubelet',
    ['UNIT_WRAPPED'],
    { [unit]: plain, '/usr/bin/kubelet': '#!/bin/bash\nexec docker run "$@"\n' },
    { argv: ['docker', 'run', '--v=2'], executable: '/usr/bin/docker' },
  ],
  [
    'a script that became a kubelet with other arguments',
    ['UNIT_WRAPPED'],
    { [unit]: plain, '/usr/bin/kubelet': '#!/bin/sh\nexec /opt/kubelet --v=3\n' },
    { argv: ['/opt/kubelet', '--v=3'], executable: '/opt/kubelet' },
  ],
  ['a script by its interpreter', ['UNIT_WRAPPED'], { [unit]: plain }, { executable: '/usr/bin/bash' }],
  [
    'a stop command that takes containers down',
    ['UNIT_STOP_UNSAFE'],
    { [unit]: plain },
    { loaded: { execStop: [sh('crictl stop $(crictl ps -q)')] } },
  ],
  [
    'a drop-in that cannot be read',
    ['UNIT_UNREADABLE'],
    { [unit]: plain, [`${unit}.d/10.conf`]: '[Service]\n# \uFFFD\n' },
  ],
  [
    'a missing environment file',
    ['UNIT_UNREADABLE'],
    { [unit]: '[Service]\nEnvironmentFile=/etc/default/kubelet\nExecStart=/usr/bin/kubelet\n' },
  ],
  [
    'a text that systemd reads otherwise',
    ['UNIT_DISAGREES'],
    { [unit]: plain },
    { loaded: { execStart: [{ ...command, argv: ['/usr/bin/kubelet', '--v=5'] }] } },
  ],
  ['two commands', ['UNIT_HAS_NO_COMMAND'], { [unit]: plain }, { loaded: { execStart: [command, command] } }],
  ['no command', ['UNIT_HAS_NO_COMMAND'], { [unit]: plain }, { loaded: { execStart: [] } }],
  ['another program', ['KUBELET_NOT_FOUND'], { [unit]: '[Service]\nExecStart=/usr/bin/false\n' }],
  ['a process that cannot be looked at', ['KUBELET_NOT_FOUND'], { [unit]: plain }, { argv: null }],
  ['a replaced program', ['KUBELET_BINARY_CHANGED'], { [unit]: plain }, { replaced: true }],
  ['a kubelet that is not well', ['KUBELET_UNHEALTHY'], { [unit]: plain }, { node: { health: 'unhealthy' } }],
  [
    'a configuration that is none',
    ['KUBELET_CONFIG_UNREADABLE'],
    { [unit]: configured, '/etc/kubelet.yaml': 'a: [\n' },
  ],
  ['a configuration that is not there', ['KUBELET_CONFIG_UNREADABLE'], { [unit]: configured }],
  [
    'a list that is none',
    ['KUBELET_CONFIG_UNREADABLE'],
    { [unit]: configured, '/etc/kubelet.yaml': `${head}allowedUnsafeSysctls: net.*\n` },
  ],
  [
    'a drop-in of the configuration that cannot be read',
    ['KUBELET_CONFIG_UNREADABLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet --config-dir=/etc/k.d/\n', '/etc/k.d/9.conf': '\uFFFD' },
  ],
  [
    'a configuration that comes from the API server',
    ['KUBELET_CONFIG_UNREADABLE'],
    {
      [unit]: '[Service]\nExecStart=/usr/bin/kubelet --dynamic-config-dir=/etc/dynamic\n',
      '/etc/dynamic/store/meta/assigned': 'source:\n  configMap: {}\n',
    },
  ],
  [
    'arguments of a distribution that cannot be read',
    ['KUBELET_CONFIG_UNREADABLE'],
    {
      '/etc/systemd/system/k3s.service': '[Service]\nExecStart=/usr/local/bin/k3s server\n',
      '/etc/rancher/k3s/config.yaml': '\uFFFD',
    },
  ],
  [
    'arguments of a distribution that are none',
    ['KUBELET_CONFIG_UNREADABLE'],
    {
      '/etc/systemd/system/k3s.service': '[Service]\nExecStart=/usr/local/bin/k3s server\n',
      '/etc/rancher/k3s/config.yaml': 'kubelet-arg: {a: b}\n',
    },
  ],
  [
    'a flag with one dash',
    ['KUBELET_FLAG_UNREADABLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet -allowed-unsafe-sysctls=net.*\n' },
  ],
  [
    'a flag with an en dash',
    ['KUBELET_FLAG_UNREADABLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet –allowed-unsafe-sysctls=net.*\n' },
  ],
  [
    'a flag that another may swallow',
    ['KUBELET_FLAG_UNREADABLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet --node-ip --allowed-unsafe-sysctls=net.*\n' },
  ],
  [
    'kernel values that would stop the next start',
    ['KERNEL_DEFAULTS_DRIFTED'],
    { [unit]: configured, '/etc/kubelet.yaml': `${head}protectKernelDefaults: true\n` },
  ],
  ['a read-only /etc', ['NODE_READ_ONLY'], { [unit]: plain }, { readOnly: ['/etc/'] }],
  [
    'an end of the line where a flag waits for its value',
    ['PLACEMENT_IMPOSSIBLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet --node-labels\n' },
  ],
  [
    'an end of the flags',
    ['PLACEMENT_IMPOSSIBLE'],
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet --v=2 --\n' },
  ],
  [
    'commands in a row',
    ['UNIT_HAS_NO_COMMAND'],
    { [unit]: '[Service]\nType=oneshot\nExecStart=/usr/bin/kubelet --v=2 ; /usr/bin/true\n' },
  ],
];

for (const [title, codes, files, spec] of cases) {
  void test(`refuses ${title} as ${codes.join(', ')}`, async (t) => {
    const observed = await runningNode(files, spec);
    const policy = policyOf(['net.core.somaxconn']);
    const outcome = planFor(observed, policy);
    t.same(codesOf(outcome), codes);
    for (const problem of outcome.kind === 'refused' ? outcome.problems : []) {
      t.ok((problem.next ?? '').length > 0, `${problem.code} names a way out`);
    }
    const forced = planFor(observed, policy, forceableCodes);
    const forceable = codes.every((code) => forceableCodes.some((other) => other === code));
    t.equal(forced.kind, forceable ? 'change' : 'refused', 'what a person may overrule');
  });
}

void test('everything that speaks against a restart is said at once', async (t) => {
  const observed = await runningNode(
    { [unit]: plain },
    { replaced: true, loaded: { jobQueued: true, needDaemonReload: true }, node: { health: 'unhealthy' } },
  );
  t.same(codesOf(planFor(observed, policyOf(['net.core.somaxconn']))), [
    'UNIT_NEEDS_RELOAD',
    'UNIT_JOB_QUEUED',
    'KUBELET_UNHEALTHY',
    'KUBELET_BINARY_CHANGED',
  ]);
});

void test('a script that became the kubelet with the arguments of the unit is one that hands them on', async (t) => {
  const files = {
    [unit]: '[Service]\nExecStart=/opt/hyperkube kubelet --v=2\n',
    '/opt/hyperkube': '#!/bin/sh\nshift\nexec /opt/bin/kubelet "$@"\n',
  };
  const policy = policyOf(['net.core.somaxconn']);
  const became = { argv: ['/opt/bin/kubelet', '--v=2'], executable: '/opt/bin/kubelet' };
  t.equal(planFor(await runningNode(files, became), policy).kind, 'change');
  const named = { argv: ['/opt/hyperkube', '--v=2'], executable: '/opt/bin/kubelet' };
  t.equal(planFor(await runningNode(files, named), policy).kind, 'change', 'also under its own name');

  const beside = { argv: ['/bin/sh', '/opt/hyperkube', 'kubelet', '--v=2'], executable: '/bin/sh' };
  t.same(codesOf(planFor(await runningNode(files, beside), policy)), ['UNIT_WRAPPED']);
  const allowing = { ...became, argv: [...became.argv, '--allowed-unsafe-sysctls=net.*'] };
  t.same(codesOf(planFor(await runningNode(files, allowing), policy)), ['UNIT_CHANGED_SINCE_START']);
  t.same(codesOf(planFor(await image(files), policy)), ['UNIT_WRAPPED'], 'of an image nothing is known');
});

void test('files that cannot matter are no reason to refuse', async (t) => {
  const files: Files = {
    [unit]:
      '[Service]\nEnvironmentFile=-/etc/default/kubelet\nEnvironmentFile=-/etc/gone\nExecStart=/usr/bin/kubelet --v=2\n',
    '/etc/default/kubelet': 'A=\uFFFD\n',
    [`${unit}.d/10-masked.conf`]: { link: '/dev/null' },
    [`${unit}.d/20-gone.conf`]: { link: '/nowhere' },
    [`${unit}.d/30-directory.conf/x`]: 'no drop-in',
    '/etc/sysctl.d/zz-kubelet-sysctl-agent.conf': '\uFFFD',
  };
  t.equal(planFor(await runningNode(files), policyOf(['net.core.somaxconn'])).kind, 'change');
  const used = {
    ...files,
    [unit]: '[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet $A\n',
  };
  t.same(codesOf(planFor(await runningNode(used), policyOf(['net.core.somaxconn']))), ['UNIT_UNREADABLE']);
});

void test("a variable of systemd's own environment counts as the next start will have it", async (t) => {
  const files = {
    [unit]: '[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet --v=2 $ARGS\n',
    '/etc/default/kubelet': '# nothing\n',
  };
  const policy = policyOf(['net.core.somaxconn']);
  const allowing = ['ARGS=--allowed-unsafe-sysctls=kernel.sem'];
  const known = await runningNode(files, { loaded: { managerEnvironment: allowing } });
  const outcome = planFor(known, policy);
  t.same(outcome.kind === 'change' && outcome.plan.entries.kept, ['kernel.sem'], 'it is in force, and stays');
  const late = await runningNode(files, {
    argv: ['/usr/bin/kubelet', '--v=2'],
    loaded: { managerEnvironment: allowing },
  });
  t.same(codesOf(planFor(late, policy)), ['UNIT_CHANGED_SINCE_START'], 'set since the kubelet started');
  const hidden = await runningNode(
    { ...files, '/etc/default/kubelet': 'ARGS=--max-pods=110\n' },
    { loaded: { managerEnvironment: allowing } },
  );
  t.equal(planFor(hidden, policy).kind, 'change', 'a file of the unit has the last word');
});

void test('a variable that no file sets any more is gone at the next start', async (t) => {
  const files = {
    [unit]: '[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=/usr/bin/kubelet $ARGS\n',
    '/etc/default/kubelet': '# ARGS was here\n',
  };
  const observed = await runningNode(files, {
    argv: ['/usr/bin/kubelet', '--allowed-unsafe-sysctls=kernel.sem'],
    variables: { ARGS: '--allowed-unsafe-sysctls=kernel.sem' },
  });
  t.same(codesOf(planFor(observed, policyOf(['net.core.somaxconn']))), ['UNIT_CHANGED_SINCE_START']);
});

void test('a flag that would take ours as its value is named, with the spelling that helps', async (t) => {
  const observed = await runningNode({
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --v=2 --node-ip $IP\n',
  });
  const outcome = planFor(observed, policyOf(['net.core.somaxconn']));
  const problem = outcome.kind === 'refused' ? outcome.problems[0] : undefined;
  t.match(problem?.message, '--allowed-unsafe-sysctls may be the value of the flag before it, --node-ip');
  t.equal(problem?.next, 'Write that flag and its value as one word, --name=value.');
});
