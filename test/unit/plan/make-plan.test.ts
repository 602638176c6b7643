import { test } from 'tap';
import type { Placement } from '../../../agent/policy/vocabulary.ts';
import { changeOf, codesOf, type Files, planFor, policyOf, runningNode } from './support/node.ts';

const unit = '/etc/systemd/system/kubelet.service';
const plain = '[Service]\nExecStart=/usr/bin/kubelet --v=2\nRestart=always\n';
const withFlag = (list: string): string =>
  `[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=${list} --v=2\n`;
const config = (list: string): string =>
  `apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n${list}`;

void test('a new entry changes the one word and says what a restart must show', async (t) => {
  const observed = await runningNode({ [unit]: plain });
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'])));
  t.equal(
    plan.files[0]?.after,
    '[Service]\nExecStart=/usr/bin/kubelet --v=2 --allowed-unsafe-sysctls=net.core.somaxconn\nRestart=always\n',
  );
  t.equal(plan.files.length, 1);
  t.equal(plan.files[0]?.before?.text, plain);
  t.same(plan.entries, {
    inForce: [],
    after: ['net.core.somaxconn'],
    added: ['net.core.somaxconn'],
    kept: [],
    removed: [],
  });
  t.ok(plan.reload && plan.restart && plan.healthzRequired);
  t.equal(plan.unit, 'kubelet.service');
  t.same(plan.expectation?.commandBefore.argv, ['/usr/bin/kubelet', '--v=2']);
  t.same(plan.expectation?.commandAfter.argv, [
    '/usr/bin/kubelet',
    '--v=2',
    '--allowed-unsafe-sysctls=net.core.somaxconn',
  ]);
  t.same(plan.expectation?.entries, ['net.core.somaxconn']);
  t.same(plan.expectation?.settings, { Restart: '"always"' });
  t.equal(plan.placement?.kind, 'Unit');
  t.same(JSON.parse(JSON.stringify(plan)), plan, 'a plan is plain JSON');
});

void test('a policy that is met already changes nothing', async (t) => {
  const observed = await runningNode({ [unit]: withFlag('net.ipv4.*') });
  t.equal(
    planFor(observed, policyOf(['net.ipv4.tcp_syn_retries'])).kind,
    'converged',
    'covered by a pattern',
  );
  t.equal(planFor(observed, policyOf(['net/ipv4/*'])).kind, 'converged', 'in the other spelling');
  t.equal(planFor(observed, policyOf(['kernel.shm_rmid_forced'])).kind, 'converged', 'safe by itself');
  t.equal(planFor(observed, policyOf([])).kind, 'converged', 'nothing asked for');
  const hints = planFor(observed, policyOf(['net.ipv4.tcp_syn_retries', 'kernel.shm_rmid_forced'])).notes
    .hints;
  t.same(hints, [
    'net.ipv4.tcp_syn_retries is already allowed by net.ipv4.*',
    'kernel.shm_rmid_forced is a safe sysctl for this kubelet and kernel: already allowed, no entry needed',
  ]);
});

void test('Keep leaves entries in force, also those that a file gives and the flag would hide', async (t) => {
  const observed = await runningNode({
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubelet.yaml\n',
    '/etc/kubelet.yaml': config('allowedUnsafeSysctls: [kernel.sem, net/core/somaxconn]\n'),
  });
  const plan = changeOf(planFor(observed, policyOf(['net.ipv4.tcp_syn_retries'])));
  t.equal(
    plan.files[0]?.after,
    '[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubelet.yaml --allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn,net.ipv4.tcp_syn_retries\n',
  );
  t.same(plan.entries.kept, ['kernel.sem', 'net.core.somaxconn']);
  t.same(plan.entries.added, ['net.ipv4.tcp_syn_retries']);
});

void test('Keep also keeps what only the running kubelet allows still', async (t) => {
  const observed = await runningNode(
    { [unit]: plain },
    { argv: ['/usr/bin/kubelet', '--v=2', '--allowed-unsafe-sysctls=kernel.sem'] },
  );
  const outcome = planFor(observed, policyOf(['net.core.somaxconn']), ['UNIT_CHANGED_SINCE_START']);
  const plan = changeOf(outcome);
  t.same(plan.entries.after, ['kernel.sem', 'net.core.somaxconn']);
  t.match(plan.files[0]?.after, '--allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn\n');
});

void test('Remove makes the policy the whole list', async (t) => {
  const observed = await runningNode({ [unit]: withFlag('kernel.sem,net.core.somaxconn') });
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'], { existing: 'Remove' })));
  t.equal(plan.files[0]?.after, withFlag('net.core.somaxconn'));
  t.same(plan.entries.removed, ['kernel.sem']);
  const gone = changeOf(planFor(observed, policyOf([], { existing: 'Remove' })));
  t.equal(gone.files[0]?.after, '[Service]\nExecStart=/usr/bin/kubelet --v=2\n');
});

void test('Remove takes every occurrence of the flag, in every spelling, down to one', async (t) => {
  const observed = await runningNode({
    [unit]:
      '[Service]\nExecStart=/usr/bin/kubelet \\\n  --allowed_unsafe_sysctls kernel.sem \\\n  --v=2 \\\n  "--allowed-unsafe-sysctls=net.core.*"\n',
  });
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'], { existing: 'Remove' })));
  t.equal(
    plan.files[0]?.after,
    '[Service]\nExecStart=/usr/bin/kubelet \\\n  --v=2 \\\n  "--allowed-unsafe-sysctls=net.core.somaxconn"\n',
  );
});

void test('Remove refuses where a list would stay in force from somewhere else', async (t) => {
  const files = {
    [unit]:
      '[Service]\nEnvironment=ARGS=--allowed-unsafe-sysctls=kernel.sem\nExecStart=/usr/bin/kubelet $ARGS\n',
  };
  const outcome = planFor(await runningNode(files), policyOf(['net.core.somaxconn'], { existing: 'Remove' }));
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  const byHand =
    'take them out of the Environment= line for ARGS by hand (`systemctl cat` shows it); or keep them (existing: Keep)';
  const refusalOf = async (files: Files, placement: Placement): Promise<readonly (string | undefined)[]> => {
    const policy = policyOf(['net.core.somaxconn'], { existing: 'Remove', placement });
    const refused = planFor(await runningNode(files), policy);
    return refused.kind === 'refused' ? refused.problems.flatMap(({ message, next }) => [message, next]) : [];
  };
  t.same(await refusalOf(files, 'Auto'), [
    'kernel.sem come from $ARGS (set by Environment=), not from the command itself',
    byHand,
  ]);
  t.same(
    (await refusalOf(files, 'EnvironmentFile'))[1],
    byHand,
    'the two placements do not point at each other',
  );

  const file = (path: string): Files => ({
    [unit]: `[Service]\nEnvironmentFile=${path}\nExecStart=/usr/bin/kubelet $ARGS\n`,
    [path]: 'ARGS=--allowed-unsafe-sysctls=kernel.sem\n',
  });
  t.equal(
    (await refusalOf(file('/etc/default/kubelet'), 'Auto'))[1],
    'use placement: EnvironmentFile, or keep them (existing: Keep)',
  );
  t.same(await refusalOf(file('/etc/default/kubelet'), 'EnvironmentFile'), [], 'which does it');
  t.equal(
    (await refusalOf(file('/var/lib/kubelet/kubeadm-flags.env'), 'Auto'))[1],
    'take them out of ARGS in /var/lib/kubelet/kubeadm-flags.env by hand, and out of what writes that file; or keep them (existing: Keep)',
  );
});

void test('what a reader of the unit may misread is pointed out, and the change is made as systemd reads it', async (t) => {
  const swallowed = await runningNode({
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --v=2 \\\nRestart=always\nRestartSec=5\n',
  });
  const outcome = planFor(swallowed, policyOf(['net.core.somaxconn']));
  t.ok(outcome.notes.hints.some((hint) => hint.startsWith(`"Restart=always" in ${unit} is an argument`)));

  const lost = await runningNode({
    [unit]:
      '[Service]\nExecStart=/usr/bin/kubelet \\\n  --v=2\n  --cert-dir=/c \\\n  --event-qps=0\nRestart=always\n',
  });
  const plan = planFor(lost, policyOf(['net.core.somaxconn']));
  t.ok(
    plan.notes.hints.some((hint) =>
      hint.startsWith(`the kubelet does not get "--cert-dir=/c" and what follows`),
    ),
  );
  t.equal(
    changeOf(plan).files[0]?.after,
    '[Service]\nExecStart=/usr/bin/kubelet \\\n  --v=2 \\\n  --allowed-unsafe-sysctls=net.core.somaxconn\n  --cert-dir=/c \\\n  --event-qps=0\nRestart=always\n',
  );
  const plain = await runningNode({
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\nRestart=always\n',
  });
  const hints = planFor(plain, policyOf(['net.core.somaxconn'])).notes.hints;
  t.notOk(hints.some((hint) => /no setting of|does not get/.test(hint)));
});

void test('a pod that uses what goes away forbids the removal, unless it is overruled', async (t) => {
  const pods = {
    kind: 'known',
    from: 'containerd',
    pods: [{ namespace: 'shop', name: 'db-0', sysctls: { 'kernel.sem': '250 32000 100 128' } }],
  } as const;
  const observed = await runningNode(
    { [unit]: withFlag('kernel.sem,net.core.somaxconn') },
    { node: { pods } },
  );
  const policy = policyOf(['net.core.somaxconn'], { existing: 'Remove' });
  const outcome = planFor(observed, policy);
  t.same(codesOf(outcome), ['REMOVAL_IN_USE']);
  t.match(outcome.kind === 'refused' ? outcome.problems[0]?.message : '', 'shop/db-0 (kernel.sem)');
  const forced = planFor(observed, policy, ['REMOVAL_IN_USE']);
  t.same(changeOf(forced).podsAtRisk, [{ namespace: 'shop', name: 'db-0', sysctls: ['kernel.sem'] }]);
  t.match(forced.notes.warnings.at(-1)?.message, /^overruled by --force: /);
  t.equal(planFor(observed, { ...policy, narrowing: 'Allow' }).kind, 'change');
  const blind = { ...observed, pods: { kind: 'unknown', reason: 'no runtime answers' } } as const;
  t.same(codesOf(planFor(blind, policy)), ['REMOVAL_UNCHECKED']);
  t.equal(planFor(blind, policy, ['REMOVAL_UNCHECKED']).kind, 'change');
});

void test('a unit that lost the flag is healed without a restart while the kubelet still has it', async (t) => {
  const observed = await runningNode(
    { [unit]: plain },
    { argv: ['/usr/bin/kubelet', '--v=2', '--allowed-unsafe-sysctls=net.core.somaxconn'] },
  );
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'])));
  t.equal(plan.restart, false);
  t.equal(plan.reload, true);
  t.match(plan.files[0]?.after, '--v=2 --allowed-unsafe-sysctls=net.core.somaxconn\n');
});

void test('the rules of the kubelet that runs decide over an entry', async (t) => {
  const old = await runningNode({ [unit]: plain }, { version: 'v1.28.2' });
  const outcome = planFor(old, policyOf(['kernel.shm_*']));
  t.equal(outcome.kind, 'change');
  t.ok(outcome.notes.warnings.some(({ code }) => code === 'ENTRY_NOT_NAMESPACED'));
  const recent = await runningNode({ [unit]: plain });
  t.same(codesOf(planFor(recent, policyOf(['kernel.shm_*', 'vm.swappiness', 'a..b']))), [
    'ENTRY_NOT_NAMESPACED',
    'ENTRY_NOT_NAMESPACED',
    'ENTRY_MALFORMED',
  ]);
});

void test('a kubelet up to 1.10 keeps the older name of the flag', async (t) => {
  const observed = await runningNode(
    { [unit]: '[Service]\nExecStart=/usr/bin/kubelet --experimental-allowed-unsafe-sysctls=kernel.sem\n' },
    { version: 'v1.10.13' },
  );
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'])));
  t.match(plan.files[0]?.after, '--experimental-allowed-unsafe-sysctls=kernel.sem,net.core.somaxconn\n');
});

void test('an allowlist that Linux would not start the kubelet with is refused', async (t) => {
  const entries = Array.from({ length: 6_000 }, (_, index) => `net.ipv4.some_rather_long_name_${index}`);
  const outcome = planFor(await runningNode({ [unit]: plain }), policyOf(entries));
  t.same(codesOf(outcome), ['PLACEMENT_IMPOSSIBLE']);
  t.match(outcome.kind === 'refused' ? outcome.problems[0]?.message : '', 'argument of 128 KiB');
  const files = {
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubelet.yaml\n',
    '/etc/kubelet.yaml': config(''),
  };
  const inFile = planFor(await runningNode(files), policyOf(entries, { placement: 'KubeletConfig' }));
  t.equal(inFile.kind, 'change', 'a file has no such limit');
});

void test('node sysctls are planned even where the allowlist is met', async (t) => {
  const sysctls = [
    {
      name: 'vm.swappiness',
      expectation: { kind: 'value', value: '10' },
      remediation: 'Write',
      policy: 'test',
    },
  ] as const;
  const observed = await runningNode(
    { [unit]: withFlag('net.core.somaxconn') },
    { node: { sysctls: { 'vm.swappiness': { kind: 'value', value: '60' } } } },
  );
  const plan = changeOf(planFor(observed, policyOf(['net.core.somaxconn'], { sysctls })));
  t.same(plan.sysctlWrites, [{ name: 'vm.swappiness', before: '60', value: '10' }]);
  t.equal(plan.restart, false);
  t.equal(plan.placement, undefined);
  t.match(plan.files[0], { path: '/etc/sysctl.d/zz-kubelet-sysctl-agent.conf', before: null });
});
