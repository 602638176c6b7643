import * as fc from 'fast-check';
import t from 'tap';
import { policyFromObject, readPolicies } from '../../../agent/policy/read.ts';
import { complaints, policyOf, smallest, whole, withSpec } from './documents.ts';

const anyCodeUnit = fc.nat(0xffff).map((code) => String.fromCharCode(code));

void t.test('a whole document is read field by field', (t) => {
  t.strictSame(policyOf(whole), {
    metadata: { name: 'web' },
    spec: {
      nodeSelector: {
        matchLabels: { pool: 'web' },
        matchExpressions: [
          { key: 'arch', operator: 'NotIn', values: ['arm64'] },
          { key: 'gpu', operator: 'DoesNotExist' },
        ],
      },
      kubelet: {
        unit: 'kubelet.service',
        allowedUnsafeSysctls: ['net.core.somaxconn', 'net.ipv4.tcp_*'],
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
          name: 'net.core.somaxconn',
          expectation: { kind: 'atLeast', value: '1024' },
          remediation: 'Report',
          remediationStated: false,
        },
        {
          name: 'net.ipv4.ip_local_port_range',
          expectation: { kind: 'value', value: '32768 60999' },
          remediation: 'Report',
          remediationStated: false,
        },
      ],
      rollout: { maxUnavailable: 1, maxFailed: 0, probationMs: 30_000 },
    },
    stated: ['unit', 'existing', 'narrowing', 'placement', 'maxUnavailable', 'maxFailed', 'probation'],
    origin: 'document',
    where: { file: 'policy.yaml', line: 4, column: 9 },
  });
  t.end();
});

void t.test('the smallest document gets every default and states nothing', (t) => {
  const policy = policyOf(smallest);
  t.strictSame(policy.spec, {
    kubelet: {
      unit: 'kubelet.service',
      allowedUnsafeSysctls: [],
      existing: 'Keep',
      narrowing: 'Refuse',
      placement: 'Auto',
    },
    sysctls: [],
    rollout: { maxUnavailable: 1, maxFailed: 0, probationMs: 30_000 },
  });
  t.strictSame(policy.stated, []);
  t.end();
});

void t.test('a document survives JSON and the way back through the API server', (t) => {
  const { where: _text, ...fromText } = policyOf(whole);
  t.strictSame(JSON.parse(JSON.stringify(fromText)), fromText);
  const stored = {
    apiVersion: 'sysctl-agent.dev/v1alpha1',
    kind: 'NodeSysctlPolicy',
    metadata: { name: 'web', uid: 'x', generation: 1, managedFields: [], labels: { a: 'b' } },
    spec: {
      nodeSelector: {
        matchLabels: { pool: 'web' },
        matchExpressions: [
          { key: 'arch', operator: 'NotIn', values: ['arm64'] },
          { key: 'gpu', operator: 'DoesNotExist' },
        ],
      },
      kubelet: {
        unit: 'kubelet.service',
        allowedUnsafeSysctls: ['net.core.somaxconn', 'net.ipv4.tcp_*'],
        existing: 'Keep',
        narrowing: 'Refuse',
        placement: 'Auto',
      },
      sysctls: [
        { name: 'vm.max_map_count', value: '262144', remediation: 'Write' },
        { name: 'net.core.somaxconn', atLeast: '1024' },
        { name: 'net.ipv4.ip_local_port_range', value: '32768 60999' },
      ],
      rollout: { maxUnavailable: 1, maxFailed: 0, probation: '30s' },
    },
    status: { conditions: [] },
  };
  const decoded = policyFromObject(stored, 'nodesysctlpolicies/web');
  t.strictSame(decoded.ok && decoded.document, { ...fromText, where: { file: 'nodesysctlpolicies/web' } });
  t.end();
});

void t.test('an object from the cluster is judged like a document', (t) => {
  const decoded = policyFromObject({ ...JSON.parse('{"__proto__":1}'), kind: 'NodeSysctlPolicy' }, 'web');
  t.strictSame(decoded, {
    ok: false,
    problems: [
      { code: 'POLICY_INVALID', message: 'apiVersion is missing', where: { file: 'web' } },
      { code: 'POLICY_INVALID', message: 'metadata is missing', where: { file: 'web' } },
      { code: 'POLICY_INVALID', message: 'spec is missing', where: { file: 'web' } },
      {
        code: 'POLICY_INVALID',
        message: 'a NodeSysctlPolicy has no key "__proto__"',
        where: { file: 'web' },
        next: 'Known here: apiVersion, kind, metadata, spec, status',
      },
    ],
  });
  t.end();
});

void t.test('all problems of a document come at once, in the order of the text, each with its place', (t) => {
  const text = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata:
  name: Web
  namespace: shop
spec:
  nodeSelector:
    matchLabels: { pool: 1, "a b": c }
    matchExpressions:
      - { key: a, operator: in, values: [x] }
      - { key: a, operator: In }
  kubelt: {}
  kubelet:
    unit: kubelet
    allowedUnsafeSysctls: [Net.core.somaxconn, 12, "net.*.x"]
    placement:
  sysctls:
    - { name: vm.max_map_count, value: 0262144 }
    - { name: net.core.somaxconn, atLeast: "1024", value: "1" }
    - name: net/core/somaxconn
      value: "a\\nb"
    - { value: true }
    - { name: ../x, atLeast: abc, vale: 3 }
    - []
  rollout:
    maxUnavailable: "1"
    maxFailed: -1
    probation: 500ms
`;
  t.strictSame(complaints(text), [
    '4:9 POLICY_INVALID metadata.name is not a name: lower case letters, digits, "-" and ".", 63 at most; it is "Web"',
    '5:3 POLICY_INVALID metadata has no key "namespace" → Known here: name, labels, annotations, creationTimestamp, ' +
      'deletionGracePeriodSeconds, deletionTimestamp, finalizers, generation, managedFields, ownerReferences, ' +
      'resourceVersion, selfLink, uid',
    '8:26 POLICY_INVALID spec.nodeSelector.matchLabels.pool must be text, but 1 is a number → Quote it: "1"',
    '8:29 POLICY_INVALID spec.nodeSelector.matchLabels["a b"] is not a label key, such as pool or example.com/pool',
    '10:29 POLICY_INVALID spec.nodeSelector.matchExpressions[0].operator must be one of In, NotIn, Exists, ' +
      'DoesNotExist, but is "in" → Use In',
    '11:9 POLICY_INVALID spec.nodeSelector.matchExpressions[1] needs values for In and NotIn, and none for Exists ' +
      'and DoesNotExist',
    '12:3 POLICY_INVALID spec has no key "kubelt" → Use kubelet',
    '14:11 POLICY_INVALID spec.kubelet.unit is not the name of a systemd service, such as kubelet.service; it is ' +
      '"kubelet"',
    '15:28 ENTRY_MALFORMED spec.kubelet.allowedUnsafeSysctls[0] is not an entry: one sysctl name in lower case, such ' +
      'as net.core.somaxconn, or a prefix that ends in "*", such as net.ipv4.tcp_*; it is "Net.core.somaxconn"',
    '15:48 ENTRY_MALFORMED spec.kubelet.allowedUnsafeSysctls[1] must be text, but 12 is a number → Quote it: "12"',
    '15:52 ENTRY_MALFORMED spec.kubelet.allowedUnsafeSysctls[2] is not an entry: one sysctl name in lower case, such ' +
      'as net.core.somaxconn, or a prefix that ends in "*", such as net.ipv4.tcp_*; it is "net.*.x"',
    '16:15 POLICY_INVALID spec.kubelet.placement must be one of Auto, Unit, DropIn, EnvironmentFile, KubeletConfig, ' +
      'but is empty → Give it a value, or leave the key out',
    '18:40 SYSCTL_VALUE_INVALID spec.sysctls[0].value must be text, but 0262144 is a number → Quote it: "0262144"',
    '19:7 POLICY_INVALID spec.sysctls[1] needs exactly one of value, atLeast and atMost',
    '20:13 SYSCTL_NAME_INVALID spec.sysctls[2].name is the same sysctl as net.core.somaxconn before it; state it once',
    '21:14 SYSCTL_VALUE_INVALID spec.sysctls[2].value must be one line without control characters; it is "a\\nb"',
    '22:7 SYSCTL_NAME_INVALID spec.sysctls[3].name is missing',
    '22:16 SYSCTL_VALUE_INVALID spec.sysctls[3].value must be text, but true is a boolean → Quote it: "true"',
    '23:15 SYSCTL_NAME_INVALID spec.sysctls[4].name is not the name of one sysctl, such as vm.max_map_count; it is ' +
      '"../x"',
    '23:30 SYSCTL_VALUE_INVALID spec.sysctls[4].atLeast must be a whole number, or several with blanks between, to be ' +
      'compared; it is "abc"',
    '23:35 POLICY_INVALID spec.sysctls[4] has no key "vale" → Use value',
    '24:7 POLICY_INVALID spec.sysctls[5] must be a mapping, but is a list',
    '26:21 POLICY_INVALID spec.rollout.maxUnavailable must be a whole number, but is "1" → Write 1 without quotes',
    '27:16 POLICY_INVALID spec.rollout.maxFailed must be at least 0, but is -1',
    '28:16 POLICY_INVALID spec.rollout.probation must be a duration from 1s to 30m, such as 30s, 2m or 1m30s',
  ]);
  t.strictSame(readPolicies([{ path: 'policy.yaml', text }]).policies, []);
  t.end();
});

void t.test('a foreign document is one mistake and says what was expected', (t) => {
  t.strictSame(complaints('apiVersion: v1\nkind: ConfigMap\nmetadata: { namespace: a }\ndata: { a: b }\n'), [
    '1:13 POLICY_INVALID apiVersion must be sysctl-agent.dev/v1alpha1, but is "v1"',
    '2:7 POLICY_INVALID kind must be NodeSysctlPolicy, but is "ConfigMap"',
  ]);
  t.strictSame(complaints('kind: nodesysctlpolicy\n'), [
    '1:1 POLICY_INVALID apiVersion is missing',
    '1:7 POLICY_INVALID kind must be NodeSysctlPolicy, but is "nodesysctlpolicy" → Use NodeSysctlPolicy',
  ]);
  t.strictSame(complaints('# only\n---\nhello\n'), [
    '3:1 POLICY_INVALID the document must be a mapping, but is "hello"',
  ]);
  t.end();
});

void t.test('several documents of a stream are read, and empty ones are left out', (t) => {
  const stream = `---\n${smallest}---\n# nothing\n---\n...\n---\n${withSpec('{}', 'db')}`;
  const { policies, problems } = readPolicies([{ path: 'all.yaml', text: stream }]);
  t.strictSame(problems, []);
  t.strictSame(
    policies.map(({ metadata, where }) => [metadata.name, where]),
    [
      ['web', { file: 'all.yaml', line: 4, column: 19 }],
      ['db', { file: 'all.yaml', line: 13, column: 19 }],
    ],
  );
  for (const text of ['', '\n', '# only a comment\n', '---\n', '---\n---\n', '\ufeff']) {
    t.strictSame(readPolicies([{ path: 'a', text }]), { policies: [], problems: [] }, JSON.stringify(text));
  }
  t.end();
});

void t.test('a sound document next to a broken one is still read', (t) => {
  const { policies, problems } = readPolicies([
    { path: 'a', text: `${smallest}---\na: [\n---\n${withSpec('{}', 'db')}` },
  ]);
  t.strictSame(
    policies.map(({ metadata }) => metadata.name),
    ['web', 'db'],
  );
  t.equal(problems.length, 1);
  t.end();
});

void t.test('two policies of one name are an error that names both places', (t) => {
  const { policies, problems } = readPolicies([
    { path: 'a.yaml', text: smallest },
    { path: 'b.yaml', text: `# second\n${whole}` },
  ]);
  t.strictSame(
    policies.map(({ where }) => where),
    [{ file: 'a.yaml', line: 3, column: 19 }],
  );
  t.strictSame(problems, [
    {
      code: 'POLICY_INVALID',
      message: 'a second policy is named "web"; the first stands at a.yaml:3:19',
      where: { file: 'b.yaml', line: 5, column: 9 },
      next: 'Give one of them another name, or write their settings into one document',
    },
  ]);
  t.end();
});

void t.test('Windows line ends and a byte order mark do not move a place', (t) => {
  const text = `\ufeff${withSpec('{ kubelt: {} }').replaceAll('\n', '\r\n')}`;
  t.strictSame(complaints(text), ['4:9 POLICY_INVALID spec has no key "kubelt" → Use kubelet']);
  t.end();
});

void t.test('no text whatever makes the reader throw', (t) => {
  const syntax = fc.constantFrom(...'-?:{}[],&*!|>"\'#%\t\n\u0000\ufeff \ud800 01aé'.split(''));
  const words = fc.constantFrom(
    'apiVersion: sysctl-agent.dev/v1alpha1\n',
    'kind: NodeSysctlPolicy\n',
    'spec:\n  kubelet:\n',
    '---\n',
    '- ',
    ': ',
    '&a ',
    '*a',
    '__proto__: ',
    '<<: ',
  );
  const fragment = fc.oneof(syntax, words);
  const text = fc.oneof(
    fc.string({ unit: anyCodeUnit }),
    fc.array(fragment).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (text) => {
      const { problems } = readPolicies([{ path: 'a', text }]);
      for (const { where } of problems) {
        if (where?.line === undefined || where.line < 1 || (where.column ?? 0) < 1) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.end();
});
