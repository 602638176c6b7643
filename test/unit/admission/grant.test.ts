import * as fc from 'fast-check';
import t from 'tap';
import { celRules } from '../../../agent/admission/cel.ts';
import { type Grant, grantOf, type GrantQuestion } from '../../../agent/admission/grant.ts';
import { admissionKinds } from '../../../agent/admission/kinds.ts';
import { admissionObjects, admissionText } from '../../../agent/admission/manifest-text.ts';
import { isCovered, unite } from '../../../agent/kubelet/allowlist.ts';
import { checkEntries } from '../../../agent/kubelet/entries.ts';
import { safeSysctls } from '../../../agent/kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../../../agent/kubelet/version.ts';
import { mergeForNode } from '../../../agent/policy/merge.ts';
import { policyFromFlags } from '../../../agent/policy/from-flags.ts';
import { normaliseName } from '../../../agent/sysctl/names.ts';
import { policyOf, withSpec } from '../policy/documents.ts';
import { refusalOf } from './evaluate.ts';
import { parseAllDocuments } from 'yaml';

const web: GrantQuestion = {
  name: 'unsafe-sysctls',
  namespaces: ['shop'],
  serviceAccounts: ['web:nginx'],
  everybody: false,
};

function allowing(...entries: readonly string[]): Parameters<typeof grantOf>[0] {
  return policyFromFlags({ allow: entries, sysctl: [] }).policies;
}

function granted(entries: readonly string[], question: Partial<GrantQuestion> = {}): Grant {
  const result = grantOf(allowing(...entries), { ...web, ...question });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.grant;
}

function problems(entries: readonly string[], question: Partial<GrantQuestion>): readonly string[] {
  const result = grantOf(allowing(...entries), { ...web, ...question });
  return result.ok ? [] : result.problems.map(({ code, message }) => `${code} ${message}`);
}

void t.test('a pod may set what the policy allows when its service account or namespace was chosen', (t) => {
  const rules = celRules(granted(['net.core.somaxconn', 'net.ipv4.tcp_*']));
  const pod = (
    namespace: string,
    serviceAccount: string | undefined,
    ...sysctls: string[]
  ): string | undefined =>
    refusalOf(rules, { namespace, sysctls, ...(serviceAccount === undefined ? {} : { serviceAccount }) });
  t.equal(pod('web', 'nginx', 'net.core.somaxconn', 'net.ipv4.tcp_mtu_probing'), undefined);
  t.equal(pod('web', 'nginx', 'net/core/somaxconn'), undefined, 'in the other spelling');
  t.equal(pod('shop', 'anybody', 'net.core.somaxconn'), undefined);
  t.equal(pod('shop', undefined, 'net.core.somaxconn'), undefined);
  t.equal(pod('web', 'other', 'net.ipv4.tcp_rmem'), undefined, 'a safe sysctl is everybody’s');
  t.equal(
    pod('web', 'other', 'net.core.somaxconn', 'net.ipv4.tcp_syncookies'),
    'forbidden sysctl: net.core.somaxconn; the nodes allow net.core.somaxconn, net.ipv4.tcp_* to namespace shop, service account web:nginx',
  );
  t.match(
    pod('web', 'nginx', 'net.core.somaxconn', 'kernel.msgmax', 'kernel.sem'),
    /^forbidden sysctl: kernel.msgmax, kernel.sem;/,
  );
  t.match(pod('nginx', 'web', 'net.core.somaxconn'), /^forbidden/, 'names are not mixed up');
  t.equal(refusalOf(rules, { namespace: 'web' }), undefined, 'a pod without sysctls');
  t.end();
});

// Names around the entries: equal, one letter more or less, in either spelling, safe ones, and others.
const segment = fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/);
const entry = fc.oneof(
  fc.constantFrom(
    'net.core.somaxconn',
    'net.ipv4.tcp_*',
    'net.*',
    'kernel.shm*',
    'kernel.msgmax',
    'fs.mqueue.*',
    'net.ipv4.conf.eth0/100.rp_filter',
    'net/ipv4/route/*',
  ),
  fc.tuple(segment, segment, fc.constantFrom('', '*')).map(([a, b, star]) => `net.${a}.${b}${star}`),
);

void t.test('admission and the kubelet agree on every sampled pod', (t) => {
  const version = parseKubeletVersion('v1.36.0');
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 5 }),
      fc.array(
        fc.tuple(
          fc.nat(),
          segment,
          fc.constantFrom('equal', 'longer', 'shorter', 'other', 'safe'),
          fc.boolean(),
        ),
        { minLength: 1, maxLength: 4 },
      ),
      (entries, picks) => {
        const policies = allowing(...entries);
        const merged = mergeForNode(policies);
        if (!merged.ok) throw new Error('flags conflict');
        // What the node would write into the kubelet, and what the kubelet adds of its own.
        const allowlist = [
          ...checkEntries(merged.policy.allowedUnsafeSysctls, version).entries,
          ...safeSysctls(version, { major: 6, minor: 1 }),
        ];
        const sysctls = picks.map(([at, text, how, slashes]) => {
          const [base = ''] = [entries[at % entries.length]].map((each = '') =>
            normaliseName(each).replace('*', ''),
          );
          const name = {
            equal: base,
            longer: base + text,
            shorter: base.slice(0, -1),
            other: `net.${text}.${text}`,
            safe: 'net.ipv4.tcp_wmem',
          }[how];
          return slashes ? name.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : name;
        });
        const kubelet = sysctls.filter((name) => !isCovered(allowlist, name)).map(normaliseName);
        const answer = refusalOf(celRules(granted(entries)), {
          namespace: 'web',
          serviceAccount: 'nginx',
          sysctls,
        });
        t.equal(
          answer?.replace(/^forbidden sysctl: /, '').replace(/;.*/s, ''),
          kubelet.length === 0 ? undefined : kubelet.join(', '),
        );
      },
    ),
    { numRuns: 150 },
  );
  t.end();
});

void t.test('a PodSecurityPolicy allows the same names, and its binding reaches the same pods', (t) => {
  const objects = admissionObjects(
    granted(['net.core.somaxconn', 'net.ipv4.tcp_*', 'net.ipv4.tcp_mem']),
    'psp',
  );
  t.strictSame(
    objects.map(({ kind }) => kind),
    ['PodSecurityPolicy', 'ClusterRole', 'ClusterRoleBinding'],
  );
  const [policy, role, binding] = objects;
  const spec = policy?.['spec'] as { allowedUnsafeSysctls: readonly string[] };
  t.strictSame(spec.allowedUnsafeSysctls, ['net.core.somaxconn', 'net.ipv4.tcp_*']);
  t.strictSame(role?.['rules'], [
    {
      apiGroups: ['policy', 'extensions'],
      resources: ['podsecuritypolicies'],
      resourceNames: ['unsafe-sysctls'],
      verbs: ['use'],
    },
  ]);
  t.strictSame(binding?.['subjects'], [
    { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'system:serviceaccounts:shop' },
    { kind: 'ServiceAccount', name: 'nginx', namespace: 'web' },
  ]);
  t.end();
});

void t.test('all service accounts of a namespace, and everybody', (t) => {
  const everybody = granted(['net.core.somaxconn'], { namespaces: [], serviceAccounts: [], everybody: true });
  t.equal(refusalOf(celRules(everybody), { namespace: 'any', sysctls: ['net.core.somaxconn'] }), undefined);
  t.match(
    refusalOf(celRules(everybody), { namespace: 'any', sysctls: ['net.core.somaxconns'] }),
    /^forbidden/,
  );
  const [, , binding] = admissionObjects(everybody, 'psp');
  t.strictSame(binding?.['subjects'], [
    { kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'system:serviceaccounts' },
  ]);
  t.end();
});

void t.test('Kyverno gets the very same expressions', (t) => {
  const grant = granted(['net.core.somaxconn']);
  const { condition, variables, validation } = celRules(grant);
  const [policy] = admissionObjects(grant, 'kyverno');
  t.match(policy?.['spec'], {
    rules: [{ celPreconditions: [condition], validate: { cel: { variables, expressions: [validation] } } }],
  });
  t.end();
});

void t.test('the oldest kubelet says what is safe', (t) => {
  const kubelet = parseKubeletVersion('v1.28.4');
  if (kubelet === undefined) throw new Error('unreadable');
  const old = celRules(granted(['net.core.somaxconn'], { kubelet }));
  t.match(refusalOf(old, { namespace: 'x', sysctls: ['net.ipv4.tcp_keepalive_time'] }), /^forbidden/);
  t.equal(refusalOf(old, { namespace: 'x', sysctls: ['net.ipv4.ip_local_reserved_ports'] }), undefined);
  t.end();
});

void t.test('whoever may not use them must be said, and only names of objects get into expressions', (t) => {
  t.match(problems(['net.core.somaxconn'], { namespaces: [], serviceAccounts: [] }), [
    /^USAGE nobody was chosen/,
  ]);
  t.match(problems(['net.core.somaxconn'], { everybody: true }), [/^USAGE both everybody and somebody/]);
  for (const bad of ["a'] || true || request.namespace in ['b", 'A', '', 'a b', 'a\n', '-a', 'a'.repeat(64)])
    t.match(
      problems(['net.core.somaxconn'], { namespaces: [bad] }),
      [/^USAGE .* is no name of a namespace$/],
      JSON.stringify(bad),
    );
  for (const bad of ['web', 'web:', ':nginx', 'a:b:c', "web:x'", 'web:x\\'])
    t.match(
      problems(['net.core.somaxconn'], { serviceAccounts: [bad] }),
      [/^USAGE .* is no service account$/],
      JSON.stringify(bad),
    );
  t.match(problems(['net.core.somaxconn'], { name: 'Bad Name' }), [
    /^USAGE .* cannot be the name of an object$/,
  ]);
  t.match(problems(['vm.swappiness'], {}), [/^ENTRY_NOT_NAMESPACED /]);
  t.match(problems([], {}), [/^POLICY_INVALID no policy allows/]);
  t.end();
});

void t.test('the text is the objects, with a comment that says what is left to do', (t) => {
  const policies = [
    policyOf(
      withSpec(
        '{ nodeSelector: { matchLabels: { pool: web } }, kubelet: { allowedUnsafeSysctls: [net.core.somaxconn] } }',
      ),
    ),
  ];
  const result = grantOf(policies, web);
  if (!result.ok) throw new Error('refused');
  for (const kind of admissionKinds) {
    const text = admissionText(result.grant, kind);
    t.strictSame(
      parseAllDocuments(text).map((document) => document.toJS() as unknown),
      JSON.parse(JSON.stringify(admissionObjects(result.grant, kind))),
      kind,
    );
    t.match(
      text,
      '# Only some nodes follow policy web: its pods must select the label sysctl-agent.dev/web.',
    );
  }
  t.match(
    admissionText(result.grant, 'vap'),
    'kubectl label namespace shop pod-security.kubernetes.io/enforce=privileged',
  );
  t.end();
});

void t.test(
  'as many entries as a policy may have stay one policy, and entries that another covers are left out',
  (t) => {
    const many = Array.from({ length: 9_999 }, (_, index) => `net.x.y${index}`);
    const grant = granted([...many, 'net.x.y1*']);
    t.equal(grant.names.length, unite(many).filter((name) => !name.startsWith('net.x.y1')).length);
    const rules = celRules(grant);
    t.equal(
      refusalOf(rules, { namespace: 'shop', sysctls: ['net.x.y9998', 'net.x.y2', 'net.x.y1234567'] }),
      undefined,
    );
    t.match(
      refusalOf(rules, { namespace: 'shop', sysctls: ['net.x.y9998', 'net.x.z'] }),
      /^forbidden sysctl: net.x.z;/,
    );
    t.ok(
      rules.variables.every(({ expression }) => expression.length < 100_000),
      'no expression is longer than the API server takes',
    );
    t.end();
  },
);
