import { test } from 'tap';
import { planSysctls, sysctlFilePath } from '../../../agent/plan/sysctl-plan.ts';
import type { ExpectedSysctl } from '../../../agent/policy/merge.ts';
import { runningNode } from './support/node.ts';

const rmem = 'net.ipv4.tcp_rmem';
const expected: ExpectedSysctl = {
  name: rmem,
  expectation: { kind: 'atLeast', value: '4096 87380 6291456' },
  remediation: 'Write',
  policy: 'test',
};

async function plan(reading: string): Promise<ReturnType<typeof planSysctls>> {
  const unit = { '/etc/systemd/system/kubelet.service': '[Service]\nExecStart=/usr/bin/kubelet\n' };
  const node = { sysctls: { [rmem]: { kind: 'value', value: reading } as const } };
  return planSysctls(await runningNode(unit, { node }), [expected]);
}

void test('only the fields of a vector that are below their bound are raised', async (t) => {
  const { findings, writes, file } = await plan('4096\t131072\t4194304');
  t.match(findings, [
    { state: 'drifted', expected: '>= 4096 87380 6291456', found: '4096\t131072\t4194304' },
  ]);
  t.strictSame(writes, [{ name: rmem, before: '4096\t131072\t4194304', value: '4096 131072 6291456' }]);
  t.match(file, { path: sysctlFilePath, after: /^-net\.ipv4\.tcp_rmem = 4096 131072 6291456$/m });
});

void test('a vector that keeps its bound is left alone', async (t) => {
  t.match(await plan('8192\t131072\t33554432'), {
    findings: [{ state: 'met' }],
    writes: [],
    file: undefined,
  });
});

void test('a bound with other fields than the sysctl has is unknown, not fine, and nothing is written', async (t) => {
  t.match(await plan('4096\t131072'), {
    findings: [{ state: 'unknown', reason: 'not as many whole numbers as its bound has' }],
    writes: [],
    file: undefined,
  });
});
