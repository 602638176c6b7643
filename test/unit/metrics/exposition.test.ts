import { test } from 'tap';
import { catalogue, metricTable } from '../../../agent/metrics/catalogue.ts';
import { sample, sampleValue, toOpenMetrics } from '../../../agent/metrics/exposition.ts';
import { metricRegistry, single } from '../../../agent/metrics/registry.ts';
import { sysctlSeries, type SeriesReading } from '../../../agent/metrics/sysctl-series.ts';

void test('labels are escaped as both formats want it', (t) => {
  t.equal(
    sample('m', { a: 'say "hi"\\\n', b: 'net.ipv4.conf.eth0/1.x' }, '1'),
    'm{a="say \\"hi\\"\\\\\\n",b="net.ipv4.conf.eth0/1.x"} 1\n',
  );
  t.end();
});

void test('integers of any size are values, and everything else is none', (t) => {
  t.same(['0', '-1', '+5', '18446744073709551615', '9'.repeat(40)].map(sampleValue), [
    '0',
    '-1',
    '+5',
    '18446744073709551615',
    '9'.repeat(40),
  ]);
  t.same(
    ['', 'cubic', '0x10', '1.5', '1e3', '9'.repeat(41), '1,2'].map(sampleValue),
    Array.from({ length: 7 }, () => undefined),
  );
  t.end();
});

void test('counters lose their suffix in the families of OpenMetrics and keep it in its samples', (t) => {
  const text =
    '# HELP a_total Help of a_total here.\n# TYPE a_total counter\na_total{x="1"} 3\n\n# HELP g G.\n# TYPE g gauge\ng 1\n';
  t.equal(
    toOpenMetrics(text),
    '# HELP a Help of a_total here.\n# TYPE a counter\na_total{x="1"} 3\n# HELP g G.\n# TYPE g gauge\ng 1\n',
  );
  t.end();
});

void test('a gauge that was never set, or set to nothing, is absent; setting replaces all of its series', async (t) => {
  const registry = metricRegistry();
  const lines = async (name: string): Promise<readonly string[]> =>
    (await registry.text()).split('\n').filter((line) => line.startsWith(`sysctl_agent_${name}`));
  t.same(await lines('policy_valid'), []);
  registry.set('policyValid', single(1));
  t.same(await lines('policy_valid'), ['sysctl_agent_policy_valid 1']);
  registry.set('policyValid', []);
  t.same(await lines('policy_valid'), []);
  registry.set('refusal', [{ labels: { code: 'UNIT_MASKED' }, value: 1 }]);
  registry.set('refusal', [{ labels: { code: 'UNIT_WRAPPED' }, value: 1 }]);
  t.same(await lines('refusal'), ['sysctl_agent_refusal{code="UNIT_WRAPPED"} 1']);
  registry.count('applies', { result: 'committed' });
  registry.count('applies', { result: 'committed' });
  t.same(await lines('applies_total'), ['sysctl_agent_applies_total{result="committed"} 2']);
  t.equal(await registry.text(), await registry.text(), 'the same text while nothing happens');
});

void test('every metric of the catalogue but those of the scrape is in the registry, with its help', async (t) => {
  const text = await metricRegistry().text();
  const perScrape = [
    catalogue.nodeSysctlDrift,
    catalogue.nodeSysctlUnreadable,
    catalogue.nodeSysctlValue,
    catalogue.allowlistEntry,
  ].map(({ name }): string => name);
  for (const { name, type } of Object.values(catalogue)) {
    if (!perScrape.includes(name)) t.ok(text.includes(`# TYPE ${name} ${type}\n`), name);
    t.match(metricTable(), `| \`${name}\` | ${type} |`);
  }
});

void test('a scrape writes each field that is a number, the verdict, and why a sysctl cannot be read', (t) => {
  const readings: SeriesReading[] = [
    { kind: 'value', value: '4096\t131072\t6291456' },
    { kind: 'value', value: 'cubic' },
    { kind: 'unreadable', reason: 'denied' },
    { kind: 'value', value: 'many words' },
  ];
  const series = sysctlSeries(
    [
      { name: 'net.ipv4.tcp_rmem', expectation: { kind: 'value', value: '4096 131072 6291456' } },
      { name: 'net.ipv4.tcp_congestion_control', expectation: { kind: 'value', value: 'bbr' } },
      { name: 'fs.secret', expectation: { kind: 'atLeast', value: '1' } },
      { name: 'kernel.words', expectation: { kind: 'atLeast', value: '1' } },
    ],
    { read: (index) => readings[index] ?? { kind: 'unreadable', reason: 'absent' } },
  );
  const lines = series
    .write()
    .toString()
    .split('\n')
    .filter((line) => !line.startsWith('#'));
  t.same(lines, [
    'sysctl_agent_node_sysctl_value{sysctl="net.ipv4.tcp_rmem",index="0"} 4096',
    'sysctl_agent_node_sysctl_value{sysctl="net.ipv4.tcp_rmem",index="1"} 131072',
    'sysctl_agent_node_sysctl_value{sysctl="net.ipv4.tcp_rmem",index="2"} 6291456',
    'sysctl_agent_node_sysctl_drift{sysctl="net.ipv4.tcp_rmem"} 0',
    'sysctl_agent_node_sysctl_drift{sysctl="net.ipv4.tcp_congestion_control"} 1',
    'sysctl_agent_node_sysctl_unreadable{sysctl="fs.secret",reason="denied"} 1',
    'sysctl_agent_node_sysctl_unreadable{sysctl="kernel.words",reason="incomparable"} 1',
    '',
  ]);
  t.end();
});

void test('the bytes of the last scrape are sent again until a reading is another one, and then that is told', (t) => {
  let reading: SeriesReading = { kind: 'value', value: '1' };
  let told = 0;
  const series = sysctlSeries(
    [{ name: 'vm.swappiness', expectation: { kind: 'value', value: '1' } }],
    { read: () => reading },
    () => {
      told += 1;
    },
  );
  const first = series.write();
  t.equal(series.write(), first);
  t.equal(told, 0);
  reading = { kind: 'value', value: '2' };
  t.match(series.write().toString(), 'node_sysctl_drift{sysctl="vm.swappiness"} 1');
  t.equal(told, 1);
  t.end();
});

void test('a value of a megabyte makes no series of a megabyte', (t) => {
  const value = '1 '.repeat(500_000);
  const series = sysctlSeries([{ name: 'kernel.huge', expectation: { kind: 'value', value: '1' } }], {
    read: () => ({ kind: 'value', value }),
  });
  t.ok(series.write().length < 10_000);
  t.end();
});
