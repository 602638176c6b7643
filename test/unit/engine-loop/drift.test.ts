import { test } from 'tap';
import { driftSince } from '../../../agent/engine/drift-since.ts';
import { watchTargets } from '../../../agent/engine/watch-targets.ts';
import {
  driftedNames,
  driftOf,
  type DriftQuestion,
  isDrifted,
  type KubeletLayer,
  type NodeDrift,
} from '../../../agent/plan/drift.ts';
import type { ObservedFile, ObservedNode } from '../../../agent/plan/observed.ts';
import type { ExpectedSysctl } from '../../../agent/policy/merge.ts';
import { policyOf, runningNode, startedAtMs } from '../plan/support/node.ts';

const unitPath = '/etc/systemd/system/kubelet.service';
const unitText = (flags: string): string =>
  `[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubelet.yaml${flags}\n`;
const withFlag = unitText(' --allowed-unsafe-sysctls=net.core.somaxconn');
const policy = policyOf(['net.core.somaxconn']);

function question(observed: ObservedNode, more: Partial<DriftQuestion> = {}): DriftQuestion {
  return {
    observed,
    policy,
    unitOnDisk: observed.unitFiles,
    configz: { kind: 'unknown', reason: 'not asked' },
    sysctlFiles: [],
    ...more,
  };
}

function layer(drift: NodeDrift, name: KubeletLayer): NodeDrift['layers'][number] {
  const found = drift.layers.find((one) => one.layer === name);
  if (found === undefined) throw new Error(`no layer ${name}`);
  return found;
}

function edited(observed: ObservedNode, text: string): readonly ObservedFile[] {
  return observed.unitFiles.map((file) => ({ ...file, text }));
}

void test('a node whose layers all allow what is wanted has no drift', async (t) => {
  const drift = driftOf(question(await runningNode({ [unitPath]: withFlag })));
  t.equal(isDrifted(drift), false);
  t.match(layer(drift, 'disk'), {
    kind: 'known',
    entries: ['net.core.somaxconn'],
    holder: unitPath,
    missing: [],
    extra: [],
  });
  t.match(layer(drift, 'configz'), { kind: 'unknown', reason: 'not asked' });
});

void test('a hand edit that nobody reloaded is drift on disk alone', async (t) => {
  const observed = await runningNode({ [unitPath]: withFlag });
  const reloadWanted = { ...observed, unit: observed.unit && { ...observed.unit, needDaemonReload: true } };
  const drift = driftOf(question(reloadWanted, { unitOnDisk: edited(observed, unitText('')) }));
  t.same(driftedNames(drift), [
    { kind: 'allowlist', name: 'disk' },
    { kind: 'reload', name: 'kubelet' },
  ]);
  t.same(layer(drift, 'disk').missing, ['net.core.somaxconn']);
});

void test('a kubelet that was started with other flags than its unit says is drift of the process', async (t) => {
  const drift = driftOf(
    question(
      await runningNode(
        { [unitPath]: withFlag },
        { argv: ['/usr/bin/kubelet', '--allowed-unsafe-sysctls=net.ipv4.tcp_syncookies'] },
      ),
    ),
  );
  t.same(driftedNames(drift), [{ kind: 'allowlist', name: 'process' }]);
});

void test('patterns and safe sysctls cover what is wanted, as the kubelet compares them', async (t) => {
  const observed = await runningNode({ [unitPath]: unitText(' --allowed-unsafe-sysctls=net.core.*') });
  t.equal(isDrifted(driftOf(question(observed))), false);
  t.equal(isDrifted(driftOf(question(observed, { policy: policyOf(['net.ipv4.tcp_syncookies']) }))), false);
  t.equal(isDrifted(driftOf(question(observed, { policy: policyOf(['net.*']) }))), true);
});

void test('more than the policy is drift only where the policy is the whole list', async (t) => {
  const observed = await runningNode({
    [unitPath]: unitText(' --allowed-unsafe-sysctls=net.core.somaxconn,kernel.msg*'),
  });
  t.equal(isDrifted(driftOf(question(observed))), false);
  const whole = driftOf(
    question(observed, { policy: policyOf(['net.core.somaxconn'], { existing: 'Remove' }) }),
  );
  t.same(layer(whole, 'process').extra, ['kernel.msg*']);
});

void test('a list that stands in the configuration counts where no flag hides it', async (t) => {
  const config = 'kind: KubeletConfiguration\nallowedUnsafeSysctls: [net.core.somaxconn]\n';
  const observed = await runningNode({ [unitPath]: unitText(''), '/etc/kubelet.yaml': config });
  const before = {
    ...observed,
    kubeletConfig: observed.kubeletConfig && { ...observed.kubeletConfig, mtimeMs: startedAtMs - 1 },
  };
  t.match(layer(driftOf(question(before)), 'process'), {
    kind: 'known',
    holder: '/etc/kubelet.yaml',
    missing: [],
  });

  const after = {
    ...observed,
    kubeletConfig: observed.kubeletConfig && { ...observed.kubeletConfig, mtimeMs: startedAtMs + 60_000 },
  };
  t.match(layer(driftOf(question(after)), 'process'), {
    kind: 'unknown',
    reason: '/etc/kubelet.yaml was changed after the kubelet started',
  });

  const hidden = await runningNode({
    [unitPath]: unitText(' --allowed-unsafe-sysctls='),
    '/etc/kubelet.yaml': config,
  });
  t.same(
    layer(driftOf(question(hidden)), 'process').missing,
    ['net.core.somaxconn'],
    'an empty flag wipes the list',
  );
});

void test('what cannot be read is unknown, and unknown is no drift and no "fine"', async (t) => {
  const gone = driftOf(
    question(await runningNode({ [unitPath]: withFlag }, { argv: null }), { unitOnDisk: undefined }),
  );
  t.match(layer(gone, 'process'), { kind: 'unknown' });
  t.match(layer(gone, 'disk'), { kind: 'unknown' });
  const wrapped = driftOf(
    question(await runningNode({ [unitPath]: '[Service]\nExecStart=/bin/sh -c "exec kubelet"\n' })),
  );
  t.match(layer(wrapped, 'loaded'), { kind: 'unknown' });
});

void test('/configz is compared like every other layer', async (t) => {
  const observed = await runningNode({ [unitPath]: withFlag });
  const drift = driftOf(question(observed, { configz: { kind: 'known', entries: [], holder: undefined } }));
  t.same(driftedNames(drift), [{ kind: 'allowlist', name: 'configz' }]);
});

void test('ten thousand entries against ten thousand take no minute', async (t) => {
  const entries = Array.from({ length: 10_000 }, (_, index) => `net.bogus.entry${index}`);
  const observed = await runningNode({ [unitPath]: withFlag });
  const began = performance.now();
  const drift = driftOf(
    question(observed, { policy: policyOf(entries), configz: { kind: 'known', entries, holder: undefined } }),
  );
  t.equal(layer(drift, 'process').missing.length, 10_000);
  t.same(layer(drift, 'configz').missing, []);
  t.ok(performance.now() - began < 10_000);
});

void test('a drifted sysctl names the line that sets it, or that somebody set it since', async (t) => {
  const observed = await runningNode(
    { [unitPath]: withFlag },
    {
      node: {
        sysctls: {
          'vm.swappiness': { kind: 'value', value: '60' },
          'vm.panic_on_oom': { kind: 'value', value: '1' },
        },
      },
    },
  );
  const expected = (name: string): ExpectedSysctl => ({
    name,
    expectation: { kind: 'value', value: '10' },
    remediation: 'Report',
    policy: 'test',
  });
  const drift = driftOf(
    question(observed, {
      policy: policyOf([], {
        sysctls: [expected('vm.panic_on_oom'), expected('vm.swappiness'), expected('vm.unread')],
      }),
      sysctlFiles: [
        { path: '/etc/sysctl.d/10-a.conf', text: 'vm.swappiness = 60\n' },
        { path: '/etc/sysctl.conf', text: '\nvm.panic_on_oom = 0\n' },
      ],
    }),
  );
  t.match(drift.sysctls, [
    {
      name: 'vm.panic_on_oom',
      state: 'drifted',
      setBy: 'runtime',
      source: { path: '/etc/sysctl.conf', line: 2, value: '0' },
    },
    {
      name: 'vm.swappiness',
      state: 'drifted',
      setBy: 'file',
      source: { path: '/etc/sysctl.d/10-a.conf', line: 1 },
    },
    { name: 'vm.unread', state: 'unknown', setBy: 'unknown' },
  ]);
  t.same(
    driftedNames(drift).map(({ name }) => name),
    ['vm.panic_on_oom', 'vm.swappiness'],
  );
});

void test('a drift keeps its beginning for as long as it lasts, and begins anew after it was over', (t) => {
  const swappiness = { kind: 'sysctl', name: 'vm.swappiness' } as const;
  const disk = { kind: 'allowlist', name: 'disk' } as const;
  const first = driftSince({}, [swappiness], 1000);
  const second = driftSince(first, [swappiness, disk], 2000);
  t.same(second, { 'sysctl/vm.swappiness': 1000, 'allowlist/disk': 2000 });
  t.same(driftSince(second, [disk], 3000), { 'allowlist/disk': 2000 });
  t.same(driftSince({}, [swappiness], 4000), { 'sysctl/vm.swappiness': 4000 });
  t.same(
    driftSince({ 'sysctl/vm.swappiness': 9000 }, [swappiness], 5000),
    { 'sysctl/vm.swappiness': 5000 },
    'never in the future',
  );
  t.end();
});

void test('every file that an observation reads is watched, and so is what could join them', async (t) => {
  const text = `${withFlag}EnvironmentFile=-/etc/default/kubelet\n`;
  const observed = await runningNode({ [unitPath]: text, '/etc/kubelet.yaml': '' });
  const paths = watchTargets(observed, true).map(({ kind, path }) => `${kind} ${path}`);
  for (const wanted of [
    `file ${unitPath}`,
    `directory ${unitPath}.d`,
    'directory /run/systemd/system/kubelet.service.d',
    'directory /etc/systemd/system/service.d',
    'file /etc/default/kubelet',
    'file /etc/kubelet.yaml',
    'directory /etc/sysctl.d',
    'file /etc/sysctl.conf',
  ]) {
    t.ok(paths.includes(wanted), wanted);
  }
  t.notOk(watchTargets(observed, false).some(({ path }) => path.includes('sysctl')));
});
