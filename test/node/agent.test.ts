import t from 'tap';
import { kubeletFiles } from './support/kubelet-files.ts';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

const unavailable = nodeTierUnavailable();
const tier = { skip: unavailable ?? false, timeout: 180_000 };
const icpUnit = '/etc/systemd/system/kubelet.service';
const dropIn = '/etc/systemd/system/kubelet.service.d/zz-kubelet-sysctl-agent.conf';

async function commandLine(node: TestNode): Promise<string[]> {
  const { stdout } = await node.exec([
    'sh',
    '-c',
    `cat /proc/$(systemctl show -P MainPID ${node.unit})/cmdline`,
  ]);
  return stdout.split('\0').slice(0, -1);
}

void t.test('the layout of IBM Cloud Private: plan, apply, apply again, roll back', tier, async (t) => {
  const node = await bootNode({ layout: 'icp' }, t);
  const before = node.read(icpUnit).toString();
  const argv = await commandLine(node);
  t.equal((await node.admit('net.core.somaxconn=512')).admitted, false, 'the pod is refused at first');

  const plan = await node.agent(['plan', '--allow', 'net.core.somaxconn']);
  t.equal(plan.code, 2, plan.stderr);
  t.match(plan.stdout, /^\+ {2}--allowed-unsafe-sysctls=net\.core\.somaxconn$/m);
  t.ok(
    plan.stdout
      .split('\n')
      .filter((line) => !/^[ +-]/.test(line))
      .every((line) => line.length <= 80),
    'in 80 columns',
  );
  t.equal(node.read(icpUnit).toString(), before, 'plan touches nothing');
  t.notOk(node.exists('/var/lib/kubelet-sysctl-agent'), 'nor leaves anything');

  const applied = await node.agent(['apply', '--allow', 'net.core.somaxconn', '--probation', '1s']);
  t.equal(applied.code, 0, applied.stderr);
  const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';
  t.equal(
    node.read(icpUnit).toString(),
    // The last flag is the one whose line does not go on.
    before.replace(/^ {2}--\S+$/m, (last) => `${last} \\\n  ${flag}`),
    'one more line in the same style, every other byte as it was',
  );
  t.strictSame(await commandLine(node), [...argv, flag]);
  t.equal((await node.admit('net.core.somaxconn=512')).admitted, true, 'the pod runs');

  const pid = await node.property('MainPID');
  t.equal((await node.agent(['apply', '--allow', 'net.core.somaxconn'])).code, 0, 'nothing to do is success');
  t.equal(await node.property('MainPID'), pid, 'and restarts nothing');

  const back = await node.agent(['rollback']);
  t.equal(back.code, 0, back.stderr);
  t.equal(node.read(icpUnit).toString(), before);
  t.strictSame(await commandLine(node), argv);
  t.match(
    back.stdout + back.stderr,
    /REMOVAL_UNCHECKED|could not be checked/,
    'it says what it could not check',
  );
});

void t.test(
  'the layout of kubeadm: a drop-in of our own beside the vendor unit, and nothing else',
  tier,
  async (t) => {
    const node = await bootNode({ layout: 'kubeadm' }, t);
    const argv = await commandLine(node);
    const vendor = node.read('/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf').toString();
    const applied = await node.agent([
      'apply',
      '--allow',
      'net.core.somaxconn,kernel.msg*',
      '--probation',
      '1s',
    ]);
    t.equal(applied.code, 0, applied.stderr);
    t.strictSame(await commandLine(node), [
      ...argv,
      '--allowed-unsafe-sysctls=net.core.somaxconn,kernel.msg*',
    ]);
    t.equal(node.read('/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf').toString(), vendor);
    t.match(
      node.read(dropIn).toString(),
      /^ExecStart=\nExecStart=\/usr\/bin\/kubelet \$KUBELET_KUBECONFIG_ARGS/m,
    );

    const back = await node.agent(['rollback']);
    t.equal(back.code, 0, back.stderr);
    t.notOk(node.exists(dropIn));
    t.strictSame(await commandLine(node), argv);
  },
);

void t.test(
  'a list in the configuration file stays in force when the flag would hide it',
  tier,
  async (t) => {
    const node = await bootNode({ layout: 'with-config-list' }, t);
    const applied = await node.agent([
      'apply',
      '--allow',
      'net.core.somaxconn',
      '--probation',
      '1s',
      '--output',
      'json',
    ]);
    t.equal(applied.code, 0, applied.stderr);
    const flag = (await commandLine(node)).find((word) => word.startsWith('--allowed-unsafe-sysctls=')) ?? '';
    const config = node.read('/var/lib/kubelet/config.yaml').toString();
    const listed = [...config.matchAll(/^ *- ["']?([a-z0-9.*_-]+)["']?$/gm)]
      .map((match) => match[1] ?? '')
      .filter((entry) => /^(net|kernel|fs)\./.test(entry));
    t.ok(listed.length > 0);
    for (const entry of [...listed, 'net.core.somaxconn'])
      t.ok(flag.split(/[=,]/).includes(entry), `${entry} in ${flag}`);
  },
);

void t.test('every bad entry is refused with nothing touched', tier, async (t) => {
  const node = await bootNode({ layout: 'quick' }, t);
  const before = node.read(icpUnit).toString();
  const pid = await node.property('MainPID');
  const bad = [
    'vm.swappiness',
    'fs.file-max',
    'kernel.*',
    '*',
    'net.core.*.foo',
    'net.a,',
    ',net.a',
    'net.a,,net.b',
    'net.a, net.b',
    'net.a;net.b',
    'NET.core.somaxconn',
    'net..core',
    'net.core.somaxconn=512',
    'net.core.somaxconn.',
  ];
  for (const entry of bad) {
    const refused = await node.agent(['apply', '--allow', entry]);
    t.equal(refused.code, 3, `${entry}: ${refused.stdout}${refused.stderr}`);
    t.match(refused.stdout + refused.stderr, /ENTRY_(MALFORMED|NOT_NAMESPACED)/, entry);
  }
  t.equal(node.read(icpUnit).toString(), before);
  t.equal(await node.property('MainPID'), pid);
});

for (const setting of ['RefuseManualStart', 'RefuseManualStop']) {
  void t.test(`a unit with ${setting}= is refused before anything is touched`, tier, async (t) => {
    const node = await bootNode({ layout: 'quick' }, t);
    node.write('/etc/systemd/system/kubelet.service.d/10-manual.conf', `[Unit]\n${setting}=yes\n`);
    await node.systemctl('daemon-reload');
    const refused = await node.agent(['apply', '--allow', 'net.core.somaxconn']);
    t.equal(refused.code, 3, refused.stdout + refused.stderr);
    t.match(refused.stdout + refused.stderr, /UNIT_NOT_RESTARTABLE[^]*next:/);
  });
}

for (const [layout, code] of [
  ['sh-wrapper', 'UNIT_WRAPPED'],
  ['docker-wrapper', 'UNIT_WRAPPED'],
  ['exec-stop', 'UNIT_STOP_UNSAFE'],
  ['masked', 'UNIT_MASKED'],
] as const) {
  void t.test(`the layout ${layout} is refused: ${code}`, tier, async (t) => {
    const node = await bootNode({ layout }, t);
    const refused = await node.agent(['apply', '--allow', 'net.core.somaxconn']);
    t.equal(refused.code, 3, refused.stdout + refused.stderr);
    t.match(refused.stdout + refused.stderr, code);
    t.match(refused.stdout + refused.stderr, /next:/, 'with a way out');
  });
}

void t.test('node sysctls are written, kept for the next boot, and put back by rollback', tier, async (t) => {
  const node = await bootNode({ layout: 'quick' }, t);
  const file = '/etc/sysctl.d/zz-kubelet-sysctl-agent.conf';
  const value = async (): Promise<string> =>
    (await node.exec(['cat', '/proc/sys/net/core/somaxconn'])).stdout.trim();
  const before = await value();
  const pid = await node.property('MainPID');

  const planned = await node.agent(['plan', '--sysctl', 'net.core.somaxconn=1234']);
  t.equal(planned.code, 2, planned.stderr);
  t.equal(await value(), before);
  const applied = await node.agent(['apply', '--sysctl', 'net.core.somaxconn=1234']);
  t.equal(applied.code, 0, applied.stdout + applied.stderr);
  t.equal(await value(), '1234');
  t.match(node.read(file).toString(), /^-?net\.core\.somaxconn ?= ?1234$/m);
  t.equal(await node.property('MainPID'), pid, 'the kubelet was not restarted');

  await node.powerCut();
  await node.exec(['/lib/systemd/systemd-sysctl']);
  t.equal(await value(), '1234', 'a reboot keeps it');

  const back = await node.agent(['rollback']);
  t.equal(back.code, 0, back.stdout + back.stderr);
  t.equal(await value(), before);
  t.notOk(node.exists(file));
});

void t.test('a sysctl that the kernel refuses leaves everything as it was', tier, async (t) => {
  const node = await bootNode({ layout: 'quick' }, t);
  const unit = node.read(icpUnit).toString();
  const pid = await node.property('MainPID');
  const failed = await node.agent([
    'apply',
    '--sysctl',
    'net.core.somaxconn=minus-one',
    '--allow',
    'kernel.msgmax',
    '--probation',
    '1s',
  ]);
  t.equal(failed.code, 4, failed.stdout + failed.stderr);
  t.match(failed.stdout + failed.stderr, 'SYSCTL_WRITE_FAILED');
  t.equal(node.read(icpUnit).toString(), unit);
  t.equal(await node.property('MainPID'), pid);
  t.notOk(node.exists('/etc/sysctl.d/zz-kubelet-sysctl-agent.conf'));
});

void t.test(
  'a kubelet that does not bear the change is as it was before, and running: exit 4',
  tier,
  async (t) => {
    const cases = [
      ['icp', 'exit-at-once', /KUBELET_(EXITED|RESTARTED)/],
      ['kubeadm', 'exit-after-seconds 2', /KUBELET_(EXITED|RESTARTED)/],
      ['default-limits', 'flap', /KUBELET_(EXITED|RESTARTED)/],
    ] as const;
    for (const [layout, fault, code] of cases) {
      const node = await bootNode({ layout, faults: [`with-flag:${fault}`] }, t);
      const before = await kubeletFiles(node);
      const argv = await commandLine(node);
      const failed = await node.agent(['apply', '--allow', 'net.core.somaxconn', '--probation', '3s']);
      t.equal(failed.code, 4, `${layout}: ${failed.stdout}${failed.stderr}`);
      t.match(failed.stdout + failed.stderr, code);
      await node.waitForKubelet();
      t.strictSame(await commandLine(node), argv, 'it runs with its old command line');
      t.equal(await kubeletFiles(node), before, 'every file of the unit and its kubelet is what it was');

      const again = await node.agent(['apply', '--allow', 'net.core.somaxconn', '--probation', '3s']);
      t.equal(again.code, 3, again.stdout + again.stderr);
      t.match(again.stdout + again.stderr, 'PLAN_LATCHED');
      t.strictSame(await commandLine(node), argv);
      await node.dispose();
    }
  },
);

void t.test('unknown flags and a missing policy are usage errors', tier, async (t) => {
  const node = await bootNode({ layout: 'quick' }, t);
  t.equal((await node.agent(['apply', '--no-such-flag'])).code, 64);
  t.equal((await node.agent(['apply'])).code, 64);
  t.equal((await node.agent(['apply', '--allow', 'net.core.somaxconn', '--force', 'NO_SUCH_CODE'])).code, 64);
});
