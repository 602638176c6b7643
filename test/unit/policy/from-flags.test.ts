import * as fc from 'fast-check';
import t from 'tap';
import { policyFromFlags } from '../../../agent/policy/from-flags.ts';
import { selects } from '../../../agent/policy/select.ts';

const none = { allow: [], sysctl: [] };

const anyCodeUnit = fc.nat(0xffff).map((code) => String.fromCharCode(code));

void t.test('no flag is no policy', (t) => {
  t.strictSame(policyFromFlags(none), { policies: [], problems: [] });
  t.strictSame(policyFromFlags({ allow: ['', ' '], sysctl: [], unit: undefined }), {
    policies: [],
    problems: [],
  });
  t.end();
});

void t.test('flags make up one policy for every node', (t) => {
  const { policies, problems } = policyFromFlags({
    allow: ['net.core.somaxconn,net.ipv4.tcp_*', 'kernel.sem'],
    sysctl: ['vm.max_map_count=262144', 'kernel.core_pattern=|/bin/x %p=%u'],
    unit: 'k.service',
    maxUnavailable: '3',
    probation: '1m',
  });
  t.strictSame(problems, []);
  t.strictSame(policies, [
    {
      metadata: { name: 'command-line' },
      spec: {
        kubelet: {
          unit: 'k.service',
          allowedUnsafeSysctls: ['net.core.somaxconn', 'net.ipv4.tcp_*', 'kernel.sem'],
          existing: 'Keep',
          narrowing: 'Refuse',
          placement: 'Auto',
        },
        sysctls: [
          {
            name: 'vm.max_map_count',
            expectation: { kind: 'value', value: '262144' },
            remediation: 'Write',
            remediationStated: true,
          },
          {
            name: 'kernel.core_pattern',
            expectation: { kind: 'value', value: '|/bin/x %p=%u' },
            remediation: 'Write',
            remediationStated: true,
          },
        ],
        rollout: { maxUnavailable: 3, maxFailed: 0, probationMs: 60_000 },
      },
      stated: ['unit', 'maxUnavailable', 'probation'],
      origin: 'flags',
    },
  ]);
  t.strictSame(
    policies.map((policy) => selects(policy, undefined)),
    ['matches'],
  );
  t.end();
});

void t.test('--remediation holds for every --sysctl', (t) => {
  const { policies } = policyFromFlags({ ...none, sysctl: ['vm.a=1', 'vm.b='], remediation: 'Report' });
  t.strictSame(
    policies.flatMap(({ spec }) =>
      spec.sysctls.map(({ expectation, remediation }) => [expectation.value, remediation]),
    ),
    [
      ['1', 'Report'],
      ['', 'Report'],
    ],
  );
  t.end();
});

void t.test('every wrong flag is named, all at once', (t) => {
  const { policies, problems } = policyFromFlags({
    allow: ['net.a,,Net.*'],
    sysctl: ['vm.x', 'vm.y=\n', 'vm.z=1', 'vm/z=2', '../a=1'],
    unit: 'kubelet',
    existing: 'keep',
    narrowing: '',
    placement: 'k3s',
    remediation: 'Rite',
    maxUnavailable: 'x',
    maxFailed: '99999',
    probation: '1h',
  });
  t.strictSame(policies, []);
  const notEntry =
    'is not an entry: one sysctl name in lower case, such as net.core.somaxconn, or a prefix that ends in "*", such ' +
    'as net.ipv4.tcp_*; it is';
  t.strictSame(
    problems.map(({ code, message, where, next }) =>
      [code, message, where, next].filter((part) => part !== undefined),
    ),
    [
      [
        'USAGE',
        '--sysctl "vm.x" has no "="',
        'Write --sysctl NAME=VALUE, such as --sysctl vm.max_map_count=262144',
      ],
      ['USAGE', '--unit is not the name of a systemd service, such as kubelet.service; it is "kubelet"'],
      ['ENTRY_MALFORMED', `--allow "" ${notEntry} ""`],
      ['ENTRY_MALFORMED', `--allow "Net.*" ${notEntry} "Net.*"`],
      ['USAGE', '--existing must be one of Keep, Remove, but is "keep"', 'Use Keep'],
      ['USAGE', '--narrowing must be one of Refuse, Allow, but is ""'],
      [
        'USAGE',
        '--placement must be one of Auto, Unit, DropIn, EnvironmentFile, KubeletConfig, but is "k3s"',
      ],
      [
        'SYSCTL_VALUE_INVALID',
        '--sysctl "vm.y=\\n" must be one line without control characters; it is "\\n"',
      ],
      ['USAGE', '--remediation must be one of Report, Write, but is "Rite"', 'Use Write'],
      [
        'SYSCTL_NAME_INVALID',
        '--sysctl "../a=1" is not the name of one sysctl, such as vm.max_map_count; it is "../a"',
      ],
      ['SYSCTL_NAME_INVALID', '--sysctl "vm/z=2" is the same sysctl as vm.z before it; state it once'],
      ['USAGE', '--max-unavailable must be a whole number, but is "x"'],
      ['USAGE', '--max-failed must be at most 10000, but is 99999'],
      ['USAGE', '--probation must be a duration from 1s to 30m, such as 30s, 2m or 1m30s; it is "1h"'],
    ],
  );
  t.end();
});

void t.test('no text of a flag makes it throw or slip through unchecked', (t) => {
  const text = fc.string({ unit: anyCodeUnit });
  fc.assert(
    fc.property(fc.array(text), fc.array(text), text, (allow, sysctl, probation) => {
      const { policies, problems } = policyFromFlags({ allow, sysctl, probation });
      return policies.length === 0 || problems.length === 0;
    }),
  );
  t.end();
});
