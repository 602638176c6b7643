import * as fc from 'fast-check';
import t from 'tap';
import { checkEntry } from '../../../agent/kubelet/entries.ts';
import { parseDuration } from '../../../agent/policy/durations.ts';
import { entryPattern, sysctlNamePattern } from '../../../agent/policy/vocabulary.ts';
import { isValidSysctlName, toProcPath } from '../../../agent/sysctl/names.ts';
import { complaints, policyOf, withSpec } from './documents.ts';

const accepted = (spec: string): boolean => complaints(withSpec(spec)).length === 0;

void t.test('each setting takes its words and bounds, and nothing else', (t) => {
  const table: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['kubelet: { existing: %s }', ['Keep', 'Remove'], ['keep', '""', 'true', '~', '[]', '{}']],
    ['kubelet: { narrowing: %s }', ['Refuse', 'Allow'], ['Keep', '0']],
    [
      'kubelet: { placement: %s }',
      ['Auto', 'Unit', 'DropIn', 'EnvironmentFile', 'KubeletConfig'],
      ['Dropin', 'k3s'],
    ],
    [
      'kubelet: { unit: %s }',
      [
        'kubelet.service',
        'k3s-agent.service',
        'a@b.service',
        '"a\\\\x2db.service"',
        `${'a'.repeat(247)}.service`,
      ],
      [
        'kubelet',
        '.service',
        '../kubelet.service',
        '"a b.service"',
        'kubelet.service.d',
        `${'a'.repeat(248)}.service`,
      ],
    ],
    [
      'rollout: { maxUnavailable: %s }',
      ['1', '1000'],
      ['0', '1001', '1.5', '"1"', '10%', '.inf', '~', '1e99'],
    ],
    ['rollout: { maxFailed: %s }', ['0', '10000'], ['-1', '10001', '"0"']],
    [
      'rollout: { probation: %s }',
      ['1s', '30m', '1m30s', '1000ms', '1s500ms', '1800s'],
      ['999ms', '30m1ms', '30', '""', '1h', '30 s', '-1s', '1s1m', '1.5s', '99999999999m', '~'],
    ],
    [
      'nodeSelector: %s',
      ['{ matchLabels: {} }', '{ matchExpressions: [] }'],
      ['{}', '[]', 'web', '{ pool: web }'],
    ],
    [
      'nodeSelector: { matchLabels: { a: %s } }',
      ['""', 'web', 'a.b_c-D', 'x'.repeat(63)],
      ['1', 'true', '-a', 'a b', 'x'.repeat(64)],
    ],
    [
      'nodeSelector: { matchLabels: { %s: a } }',
      ['pool', 'example.com/pool', 'x'.repeat(63), `${'x'.repeat(63)}.y/z`],
      ['a b', '/pool', 'Example.com/pool', 'a/b/c', 'x'.repeat(64), '"é"'],
    ],
    [
      'nodeSelector: { matchExpressions: [%s] }',
      [
        '{ key: a, operator: In, values: [b, ""] }',
        '{ key: a, operator: Exists }',
        '{ key: a, operator: DoesNotExist, values: [] }',
      ],
      [
        '{ key: a, operator: NotIn, values: [] }',
        '{ key: a, operator: Exists, values: [b] }',
        '{ key: a }',
        '{ operator: Exists }',
        '{ key: a, operator: Gt, values: ["1"] }',
      ],
    ],
    [
      'kubelet: { allowedUnsafeSysctls: [%s] }',
      [
        'net.core.somaxconn',
        'net.*',
        '"*"',
        'kernel.shm*',
        'net/core/somaxconn',
        'net.ipv4.conf.eth0/1.x',
        'a',
      ],
      [
        '""',
        'net.',
        '.net',
        'net..a',
        'net.*.a',
        'Net.a',
        '" net.a"',
        'net.a b',
        'net.-',
        '1',
        'a'.repeat(254),
      ],
    ],
    [
      'sysctls: [{ name: %s, value: "1" }]',
      ['vm.max_map_count', 'vm/max_map_count', 'net.ipv4.conf.eth0/100.rp_filter', 'a'],
      [
        '""',
        'vm.',
        'vm..a',
        '../etc',
        'vm/../x',
        'net.*',
        '/vm/a',
        '"vm a"',
        '"vm.a=b"',
        '1',
        'a'.repeat(254),
      ],
    ],
    [
      'sysctls: [{ name: vm.a, value: %s }]',
      ['"1"', '""', '"a\\tb"', 'word', '"18446744073692774399"', '"é"'],
      ['1', 'true', '~', '"a\\nb"', '"a\\0b"', '"\\x7f"', '[a]', `"${'1'.repeat(4096)}"`],
    ],
    [
      'sysctls: [{ name: vm.a, atLeast: %s }]',
      ['"1"', '"-1"', '"1 \\t2"'],
      ['"a"', '""', '"1.5"', '" 1"', '"0x1"'],
    ],
    ['sysctls: [{ name: vm.a, atMost: %s }]', ['"1"'], ['"a"', '1']],
    [
      'sysctls: [{ name: vm.a, %s }]',
      ['value: "1", remediation: Write', 'atMost: "1", remediation: Report'],
      ['value: "1", atMost: "2"', 'remediation: Write', 'value: "1", remediation: write'],
    ],
    ['sysctls: [%s]', [''], ['{ name: vm.a, value: "1" }, { name: vm/a, atLeast: "1" }', 'vm.a']],
  ];
  for (const [spec, good, bad] of table) {
    for (const value of good) t.ok(accepted(`{ ${spec.replace('%s', value)} }`), spec.replace('%s', value));
    for (const value of bad) t.notOk(accepted(`{ ${spec.replace('%s', value)} }`), spec.replace('%s', value));
  }
  t.end();
});

void t.test('a policy name must fit into the name of a label', (t) => {
  for (const name of ['web', 'a.b-c', 'x'.repeat(63)])
    t.equal(policyOf(withSpec('{}', name)).metadata.name, name);
  for (const name of ['Web', '-a', 'a_b', 'x'.repeat(64), '"a b"', '1', '~', '""']) {
    t.equal(complaints(withSpec('{}', name)).length, 1, name);
  }
  t.end();
});

void t.test('an unknown key names the nearest known one at every level', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['{ rolout: {} }', 'spec has no key "rolout" → Use rollout'],
    ['{ nodeselector: {} }', 'spec has no key "nodeselector" → Use nodeSelector'],
    ['{ nodeSelector: { matchLabel: {} } }', 'spec.nodeSelector has no key "matchLabel" → Use matchLabels'],
    [
      '{ kubelet: { allowedSysctls: [] } }',
      'spec.kubelet has no key "allowedSysctls" → Use allowedUnsafeSysctls',
    ],
    [
      '{ rollout: { max: 1 } }',
      'spec.rollout has no key "max" → Known here: maxUnavailable, maxFailed, probation',
    ],
    [
      '{ sysctls: [{ name: vm.a, value: "1", remedy: Write }] }',
      'spec.sysctls[0] has no key "remedy" → Known here: name, value, atLeast, atMost, remediation',
    ],
  ];
  for (const [spec, wanted] of table) {
    t.strictSame(
      complaints(withSpec(spec)).map((line) => line.replace(/^\S+ POLICY_INVALID /, '')),
      [wanted],
    );
  }
  t.end();
});

void t.test('the grammar of entries is the one that kubelets from 1.23 on follow', (t) => {
  const entry = fc
    .array(fc.constantFrom('net.', 'net/', 'a', 'B', '-', '_', '.', '/', '*', ' ', '0'), { maxLength: 8 })
    .map((parts) => `net.${parts.join('')}`);
  const latest = { text: 'v1.36.2', major: 1, minor: 36, patch: 2 };
  fc.assert(fc.property(entry, (entry) => entryPattern.test(entry) === checkEntry(entry, latest).ok));
  t.end();
});

void t.test('every name that the schema takes is safe as a path under /proc/sys', (t) => {
  const odd = fc.constantFrom(
    '',
    '.',
    '..',
    'é',
    'a:b',
    'a b',
    '*',
    '~',
    '@',
    '!',
    '-',
    '_',
    'a=b',
    '\n',
    '#a',
    '[',
    '\\',
  );
  const part = fc.oneof({ weight: 5, arbitrary: fc.constantFrom('net', 'eth0', 'VM', 'a-b') }, odd);
  const name = fc
    .array(fc.tuple(part, fc.constantFrom('.', '/')), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.flat().join('').slice(0, -1));
  fc.assert(
    fc.property(name, (name) => {
      fc.pre(sysctlNamePattern.test(name));
      return isValidSysctlName(name) && !toProcPath(name).includes('..');
    }),
    { numRuns: 1000 },
  );
  t.end();
});

void t.test('the probation reaches the policy in milliseconds', (t) => {
  const probation = (text: string): number =>
    policyOf(withSpec(`{ rollout: { probation: ${text} } }`)).spec.rollout.probationMs;
  t.equal(probation('1s'), 1000);
  t.equal(probation('1m30s'), 90_000);
  t.equal(probation('2m1ms'), 120_001);
  t.equal(parseDuration(''), undefined);
  t.equal(parseDuration('1x'), undefined);
  t.end();
});
