import t from 'tap';
import { yamlLimits } from '../../../agent/policy/yaml.ts';
import { readPolicies } from '../../../agent/policy/read.ts';
import { complaints, policyOf, withSpec } from './documents.ts';

void t.test('YAML that is none is reported where it breaks', (t) => {
  t.strictSame(complaints('a: "b\nc: 3\n'), ['3:1 POLICY_UNREADABLE not YAML: Missing closing "quote']);
  t.strictSame(complaints('spec: !secret 1\n'), ['1:7 POLICY_UNREADABLE not YAML: Unresolved tag: !secret']);
  t.end();
});

void t.test('a key that stands twice is reported at the second, naming the line of the first', (t) => {
  t.strictSame(complaints(withSpec('{\n  kubelet: {},\n  sysctls: [],\n  kubelet: {} }')), [
    '7:3 POLICY_UNREADABLE the document has the key "kubelet" a second time; it stands in line 5 already',
  ]);
  t.end();
});

void t.test('keys that are not text are refused', (t) => {
  t.strictSame(complaints(withSpec('{ 1: a, [x]: b }')), [
    '4:9 POLICY_UNREADABLE the document has a key that is not text',
    '4:15 POLICY_UNREADABLE the document has a key that is not text',
  ]);
  t.end();
});

void t.test('anchors and aliases are followed, the latest anchor of a name counts', (t) => {
  const policy = policyOf(
    withSpec(
      '{ sysctls: [ { name: vm.a, value: &v "1" }, { name: vm.b, value: *v }, { name: vm.c, value: &v "2" }, ' +
        '{ name: vm.d, value: *v } ], nodeSelector: { matchExpressions: [ &r { key: a, operator: Exists }, *r ] } }',
    ),
  );
  t.strictSame(
    policy.spec.sysctls.map(({ expectation }) => expectation.value),
    ['1', '1', '2', '2'],
  );
  t.strictSame(policy.spec.nodeSelector?.matchExpressions, [
    { key: 'a', operator: 'Exists' },
    { key: 'a', operator: 'Exists' },
  ]);
  t.end();
});

void t.test(
  'a problem behind an alias is placed at the alias when it is the value, else inside the anchor',
  (t) => {
    t.strictSame(
      complaints(withSpec('{ sysctls: [ { name: vm.a, value: &v 12 }, { name: vm.b, value: *v } ] }')),
      [
        '4:44 SYSCTL_VALUE_INVALID spec.sysctls[0].value must be text, but 12 is a number → Quote it: "12"',
        '4:71 SYSCTL_VALUE_INVALID spec.sysctls[1].value must be text, but 12 is a number → Quote it: "12"',
      ],
    );
    t.end();
  },
);

void t.test('an alias without an anchor, or inside its own, is refused', (t) => {
  t.strictSame(complaints('a: *b\n'), [
    '1:4 POLICY_UNREADABLE the document has an alias *b without an anchor &b before it',
  ]);
  t.strictSame(complaints('a: &b [*b]\n'), [
    '1:8 POLICY_UNREADABLE the document has an alias *b inside its own anchor',
  ]);
  t.end();
});

void t.test('a bomb of aliases is refused without being expanded', (t) => {
  const levels = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 20; level += 1) {
    levels.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(', ')}]`);
  }
  t.strictSame(complaints(levels.join('\n')), [
    '6:10 POLICY_UNREADABLE the document has more than 200000 values once aliases are followed',
  ]);
  t.end();
});

void t.test('nesting is bounded, for brackets and for dashes', (t) => {
  const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
  t.strictSame(complaints(deep(yamlLimits.depth)), [
    '1:1 POLICY_INVALID the document must be a mapping, but is a list',
  ]);
  t.strictSame(complaints(deep(yamlLimits.depth + 1)), [
    '1:33 POLICY_UNREADABLE the document has more than 32 levels deep',
  ]);
  for (const text of [deep(20_000), '- '.repeat(20_000), '{a: '.repeat(20_000), '? '.repeat(20_000)]) {
    const { policies, problems } = readPolicies([{ path: 'a', text }]);
    t.strictSame(policies, []);
    t.ok(problems.length > 0 && problems.every(({ code }) => code === 'POLICY_UNREADABLE'));
  }
  t.end();
});

void t.test('a text beyond the bound is refused unread', (t) => {
  const text = withSpec('{}') + '#'.repeat(yamlLimits.characters);
  t.strictSame(readPolicies([{ path: 'big.yaml', text }]), {
    policies: [],
    problems: [
      {
        code: 'POLICY_UNREADABLE',
        message: `big.yaml has ${text.length} characters; a policy file has at most 1048576`,
        where: { file: 'big.yaml' },
      },
    ],
  });
  t.end();
});

void t.test('10,000 entries are read, and one more is refused', (t) => {
  const list = (size: number): string =>
    withSpec(
      `{ kubelet: { allowedUnsafeSysctls: [${Array.from({ length: size }, (_, i) => `net.a${i}`).join(', ')}] } }`,
    );
  t.equal(policyOf(list(10_000)).spec.kubelet.allowedUnsafeSysctls.length, 10_000);
  t.strictSame(complaints(list(10_001)), [
    '4:42 POLICY_INVALID spec.kubelet.allowedUnsafeSysctls must have at most 10000 items, but has 10001',
  ]);
  t.end();
});

void t.test('a file full of one mistake is answered in the time of a reading', (t) => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join('\n');
  t.equal(complaints(keys).length, 20_004);
  t.end();
});

void t.test('keys with a meaning in JavaScript are unknown keys and change no prototype', (t) => {
  t.strictSame(
    complaints(withSpec('{ __proto__: { polluted: 1 }, constructor: { prototype: { polluted: 1 } } }')),
    [
      '4:9 POLICY_INVALID spec has no key "__proto__" → Known here: nodeSelector, kubelet, sysctls, rollout',
      '4:37 POLICY_INVALID spec has no key "constructor" → Known here: nodeSelector, kubelet, sysctls, rollout',
    ],
  );
  t.notOk('polluted' in {});
  const { spec } = policyOf(withSpec('{ nodeSelector: { matchLabels: { constructor: a, toString: b } } }'));
  t.strictSame(Object.entries(spec.nodeSelector?.matchLabels ?? {}), [
    ['constructor', 'a'],
    ['toString', 'b'],
  ]);
  t.end();
});
