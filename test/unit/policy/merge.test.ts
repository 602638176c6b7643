import * as fc from 'fast-check';
import t from 'tap';
import { policyFromFlags } from '../../../agent/policy/from-flags.ts';
import { entrySources, mergeForNode } from '../../../agent/policy/merge.ts';
import type { NodePolicy } from '../../../agent/policy/merge.ts';
import type { PolicyDocument } from '../../../agent/policy/schema.ts';
import { policyOf, whole, withSpec } from './documents.ts';

const named = (name: string, spec: string): PolicyDocument => policyOf(withSpec(spec, name), `${name}.yaml`);

function merged(...policies: readonly PolicyDocument[]): NodePolicy {
  const result = mergeForNode(policies);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.policy;
}

function conflicts(...policies: readonly PolicyDocument[]): readonly string[] {
  const result = mergeForNode(policies);
  return result.ok ? [] : result.problems.map(({ code, message }) => `${code} ${message}`);
}

void t.test('no policy at all gives the defaults', (t) => {
  t.strictSame(merged(), {
    names: [],
    unit: 'kubelet.service',
    allowedUnsafeSysctls: [],
    existing: 'Keep',
    narrowing: 'Refuse',
    placement: 'Auto',
    sysctls: [],
    rollout: { maxUnavailable: 1, maxFailed: 0, probationMs: 30_000 },
  });
  t.end();
});

void t.test('one policy is merged into what it says', (t) => {
  t.strictSame(merged(policyOf(whole)), {
    names: ['web'],
    unit: 'kubelet.service',
    allowedUnsafeSysctls: ['net.core.somaxconn', 'net.ipv4.tcp_*'],
    existing: 'Keep',
    narrowing: 'Refuse',
    placement: 'Auto',
    sysctls: [
      {
        name: 'net.core.somaxconn',
        remediation: 'Report',
        expectation: { kind: 'atLeast', value: '1024' },
        policy: 'web',
      },
      {
        name: 'net.ipv4.ip_local_port_range',
        remediation: 'Report',
        expectation: { kind: 'value', value: '32768 60999' },
        policy: 'web',
      },
      {
        name: 'vm.max_map_count',
        remediation: 'Write',
        expectation: { kind: 'value', value: '262144' },
        policy: 'web',
      },
    ],
    rollout: { maxUnavailable: 1, maxFailed: 0, probationMs: 30_000 },
  });
  t.end();
});

void t.test('allowlists unite in one spelling, without duplicates, and say who asked', (t) => {
  const web = named(
    'web',
    '{ kubelet: { allowedUnsafeSysctls: [net.z, net/core/somaxconn, net.z, net.ipv4.*] } }',
  );
  const db = named(
    'db',
    '{ kubelet: { allowedUnsafeSysctls: [net.core.somaxconn, kernel.sem, net.ipv4.tcp_rmem] } }',
  );
  t.strictSame(merged(web, db).allowedUnsafeSysctls, [
    'net.core.somaxconn',
    'kernel.sem',
    'net.ipv4.tcp_rmem',
    'net.z',
    'net.ipv4.*',
  ]);
  t.strictSame(entrySources([web, db]), [
    { entry: 'kernel.sem', policies: ['db'] },
    { entry: 'net.core.somaxconn', policies: ['db', 'web'] },
    { entry: 'net.ipv4.*', policies: ['web'] },
    { entry: 'net.ipv4.tcp_rmem', policies: ['db'] },
    { entry: 'net.z', policies: ['web'] },
  ]);
  t.end();
});

void t.test('a default gives way to what another policy states, whichever comes first', (t) => {
  const silent = named('a', '{}');
  const stating = named(
    'b',
    '{ kubelet: { unit: k.service, existing: Remove, narrowing: Allow, placement: DropIn }, ' +
      'rollout: { maxUnavailable: 5, maxFailed: 2, probation: 1m } }',
  );
  for (const policies of [
    [silent, stating],
    [stating, silent],
  ]) {
    t.strictSame(merged(...policies), {
      names: ['a', 'b'],
      unit: 'k.service',
      allowedUnsafeSysctls: [],
      existing: 'Remove',
      narrowing: 'Allow',
      placement: 'DropIn',
      sysctls: [],
      rollout: { maxUnavailable: 5, maxFailed: 2, probationMs: 60_000 },
    });
  }
  t.end();
});

void t.test(
  'two that state one setting alike agree, differently conflict, and all conflicts come at once',
  (t) => {
    const one = named(
      'web',
      '{ kubelet: { unit: kubelet.service, existing: Keep, narrowing: Refuse, placement: Auto }, ' +
        'rollout: { maxUnavailable: 1, maxFailed: 0, probation: 90s } }',
    );
    const same = named('same', '{ kubelet: { placement: Auto }, rollout: { probation: 1m30s } }');
    t.strictSame(conflicts(one, same), []);
    const other = named(
      'db',
      '{ kubelet: { unit: k.service, existing: Remove, narrowing: Allow, placement: Unit }, ' +
        'rollout: { maxUnavailable: 2, maxFailed: 1, probation: 30s } }',
    );
    const lead = 'POLICY_CONFLICT policies db and web select one node and differ in';
    t.strictSame(conflicts(one, other), [
      `${lead} spec.kubelet.unit: k.service and kubelet.service`,
      `${lead} spec.kubelet.existing: Remove and Keep`,
      `${lead} spec.kubelet.narrowing: Allow and Refuse`,
      `${lead} spec.kubelet.placement: Unit and Auto`,
      `${lead} spec.rollout.maxUnavailable: 2 and 1`,
      `${lead} spec.rollout.maxFailed: 1 and 0`,
      `${lead} spec.rollout.probation: 30s and 1m30s`,
    ]);
    const result = mergeForNode([one, other]);
    t.strictSame(result.ok ? [] : result.problems[0], {
      code: 'POLICY_CONFLICT',
      message:
        'policies db and web select one node and differ in spec.kubelet.unit: k.service and kubelet.service',
      where: { file: 'web.yaml', line: 3, column: 19 },
      next: 'State it in one of them, state the same in both, or let their node selectors not overlap',
    });
    t.end();
  },
);

void t.test('the wishes for one sysctl combine where both can be met, and conflict where not', (t) => {
  const table: readonly (readonly [string, string, string])[] = [
    ['value: "1 2"', 'value: "1\\t 2"', 'value 1 2 Report a'],
    ['value: "1"', 'value: "2"', '"1" and "2"'],
    ['value: "1"', 'value: "01"', '"1" and "01"'],
    ['atLeast: "9"', 'atLeast: "10"', 'atLeast 10 Report b'],
    ['atMost: "9"', 'atMost: "10"', 'atMost 9 Report a'],
    ['atLeast: "4 8"', 'atLeast: "5 7"', 'atLeast 5 8 Report a'],
    ['atLeast: "1"', 'atLeast: "1 2"', 'at least 1 and at least 1 2'],
    ['atLeast: "1"', 'atMost: "2"', 'at least 1 and at most 2'],
    ['value: "2"', 'atLeast: "1"', 'value 2 Report a'],
    ['atMost: "2"', 'value: "2"', 'value 2 Report b'],
    ['value: "1"', 'atLeast: "2"', '"1" and at least 2'],
    ['atMost: "2"', 'value: "3"', '"3" and at most 2'],
    ['value: cubic', 'atLeast: "1"', '"cubic" and at least 1'],
    ['value: "1", remediation: Write', 'value: "1"', 'value 1 Write a'],
    ['value: "1"', 'value: "1", remediation: Write', 'value 1 Write a'],
    ['value: "1", remediation: Write', 'atLeast: "0", remediation: Write', 'value 1 Write a'],
    [
      'value: "1", remediation: Report',
      'value: "1", remediation: Write',
      'remediation Report and remediation Write',
    ],
  ];
  for (const [a, b, together] of table) {
    const policies = [
      named('a', `{ sysctls: [{ name: vm.x, ${a} }] }`),
      named('b', `{ sysctls: [{ name: vm/x, ${b} }] }`),
    ];
    for (const order of [policies, policies.toReversed()]) {
      const result = mergeForNode(order);
      const shown = result.ok
        ? result.policy.sysctls.map(
            ({ expectation, remediation, policy }) =>
              `${expectation.kind} ${expectation.value} ${remediation} ${policy}`,
          )
        : result.problems.map(({ message }) =>
            message.replace(/^policies . and . select one node and differ in vm.x: /, ''),
          );
      t.strictSame(shown, [together], `${a} with ${b}`);
    }
  }
  t.end();
});

void t.test('bounds on both sides are both kept by a third policy that states the value', (t) => {
  const low = named('low', '{ sysctls: [{ name: vm.x, atLeast: "1" }] }');
  const high = named('high', '{ sysctls: [{ name: vm.x, atMost: "3" }] }');
  const value = named('value', '{ sysctls: [{ name: vm.x, value: "2" }] }');
  t.equal(conflicts(low, high).length, 1);
  t.strictSame(merged(low, value, high).sysctls, [
    { name: 'vm.x', remediation: 'Report', expectation: { kind: 'value', value: '2' }, policy: 'value' },
  ]);
  const far = named('value', '{ sysctls: [{ name: vm.x, value: "9" }] }');
  t.strictSame(conflicts(low, far, high), [
    'POLICY_CONFLICT policies value and high select one node and differ in vm.x: "9" and at most 3',
  ]);
  t.end();
});

void t.test('a sysctl conflict names both policies, and other sysctls conflict in the same answer', (t) => {
  const a = named('a', '{ sysctls: [{ name: vm.x, value: "1" }, { name: vm.y, value: "1" }] }');
  const b = named('b', '{ sysctls: [{ name: vm.y, value: "2" }, { name: vm.x, value: "2" }] }');
  t.strictSame(mergeForNode([b, a]), {
    ok: false,
    problems: ['vm.x', 'vm.y'].map((name) => ({
      code: 'POLICY_CONFLICT',
      message: `policies a and b select one node and differ in ${name}: "1" and "2"`,
      where: { file: 'b.yaml', line: 3, column: 19 },
      next: 'State it in one of them, state the same in both, or let their node selectors not overlap',
    })),
  });
  t.end();
});

void t.test('flags overrule the settings of documents, and unite or conflict in everything else', (t) => {
  const document = policyOf(whole);
  const flags = (sysctl: readonly string[]): readonly PolicyDocument[] =>
    policyFromFlags({ allow: ['net.x'], sysctl, probation: '2m', placement: 'Unit' }).policies;
  const policy = merged(document, ...flags(['vm.swappiness=10']));
  t.equal(policy.placement, 'Unit');
  t.equal(policy.rollout.probationMs, 120_000);
  t.equal(policy.existing, 'Keep');
  t.strictSame(policy.names, ['command-line', 'web']);
  t.strictSame(policy.allowedUnsafeSysctls, ['net.x', 'net.core.somaxconn', 'net.ipv4.tcp_*']);
  t.strictSame(conflicts(document, ...flags(['vm.max_map_count=1'])), [
    'POLICY_CONFLICT policies command-line and web select one node and differ in vm.max_map_count: "1" and "262144"',
  ]);
  t.end();
});

const specs = fc
  .record({
    entries: fc.array(fc.constantFrom('net.a', 'net/a', 'net.b.*', 'kernel.sem'), { maxLength: 3 }),
    kubelet: fc.constantFrom('', ', placement: Auto', ', placement: Unit', ', existing: Remove'),
    sysctls: fc.uniqueArray(
      fc.tuple(
        fc.constantFrom('vm.x', 'net.ipv4.y'),
        fc.constantFrom('value: "1"', 'value: "2"', 'atLeast: "1"', 'atLeast: "2"', 'atMost: "2"'),
        fc.constantFrom('', ', remediation: Write', ', remediation: Report'),
      ),
      { selector: ([name]) => name, maxLength: 2 },
    ),
    rollout: fc.constantFrom(
      '',
      ', rollout: { maxUnavailable: 1 }',
      ', rollout: { maxUnavailable: 2, probation: 1m }',
    ),
  })
  .map(({ entries, kubelet, sysctls, rollout }) => {
    const items = sysctls.map(([name, wish, remediation]) => `{ name: ${name}, ${wish}${remediation} }`);
    return (
      `{ kubelet: { allowedUnsafeSysctls: [${entries.map((entry) => JSON.stringify(entry)).join(', ')}]${kubelet} }, ` +
      `sysctls: [${items.join(', ')}]${rollout} }`
    );
  });
const policySets = fc
  .array(specs, { maxLength: 4 })
  .map((specs) => specs.map((spec, index) => named(`p${index}`, spec)));

void t.test('the order of policies never matters, and a policy twice is as good as once', (t) => {
  fc.assert(
    fc.property(policySets, fc.nat(3), (policies, turn) => {
      const turned = [...policies.slice(turn), ...policies.slice(0, turn)].toReversed();
      t.strictSame(mergeForNode(turned), mergeForNode(policies));
      t.equal(mergeForNode([...policies, ...policies]).ok, mergeForNode(policies).ok);
    }),
  );
  t.end();
});

void t.test('whatever is merged keeps every wish of every policy', (t) => {
  fc.assert(
    fc.property(policySets, (policies) => {
      const result = mergeForNode(policies);
      if (!result.ok) return;
      for (const { spec, stated } of policies) {
        for (const entry of spec.kubelet.allowedUnsafeSysctls) {
          t.ok(result.policy.allowedUnsafeSysctls.includes(entry.replaceAll('/', '.')));
        }
        if (stated.includes('placement')) t.equal(result.policy.placement, spec.kubelet.placement);
        if (stated.includes('maxUnavailable')) {
          t.equal(result.policy.rollout.maxUnavailable, spec.rollout.maxUnavailable);
        }
        for (const { name, expectation } of spec.sysctls) {
          const together = Number(
            result.policy.sysctls.find((item) => item.name === name)?.expectation.value,
          );
          const wanted = Number(expectation.value);
          if (expectation.kind === 'value') t.equal(together, wanted);
          if (expectation.kind === 'atLeast') t.ok(together >= wanted);
          if (expectation.kind === 'atMost') t.ok(together <= wanted);
        }
      }
    }),
  );
  t.end();
});

void t.test('fewer policies never conflict more', (t) => {
  fc.assert(
    fc.property(policySets, (policies) => {
      const values = policies.every(({ spec }) =>
        spec.sysctls.every(({ expectation }) => expectation.kind === 'value'),
      );
      // Bounds on both sides conflict until a value is stated between them.
      fc.pre(values);
      return !mergeForNode(policies).ok || mergeForNode(policies.slice(1)).ok;
    }),
  );
  t.end();
});
