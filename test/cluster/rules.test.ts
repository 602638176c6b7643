import * as fc from 'fast-check';
import t from 'tap';
import { isCovered } from '../../agent/kubelet/allowlist.ts';
import { eventsBetween } from '../../agent/cluster/events.ts';
import {
  countForbidden,
  forbiddenNames,
  leftovers,
  podOfObject,
  type PodOfNode,
} from '../../agent/cluster/forbidden-pods.ts';
import { isProven, labelChanges, labelRemovals } from '../../agent/cluster/node-labels.ts';
import { nodeStatusOf, type StatusContext } from '../../agent/cluster/node-status.ts';
import { nodeStatusSchema, statusLimits } from '../../agent/cluster/status-schema.ts';
import { driftWith, factsOf } from './support/facts.ts';
import { mismatches } from './support/schema.ts';

const web = { name: 'web', hash: '0123456789', entries: ['net.core.somaxconn'] };
const question = (
  over: Partial<Parameters<typeof labelChanges>[0]> = {},
): Parameters<typeof labelChanges>[0] => ({
  present: {},
  policies: [web],
  state: 'converged',
  drift: driftWith({ entries: ['net.core.*'] }),
  isCurrent: true,
  ...over,
});

void t.test('a label is set once the process allows all of a policy, also through a wider entry', (t) => {
  t.strictSame(labelChanges(question()), { 'sysctl-agent.dev/web': '0123456789' });
  t.strictSame(labelChanges(question({ present: { 'sysctl-agent.dev/web': '0123456789' } })), {});
  t.end();
});

void t.test('no label is set while a change is under way, or by what was found under other policies', (t) => {
  for (const state of [
    'applying',
    'waitingForSlot',
    'broken',
    'starting',
    'blind',
    'halted',
    'latched',
    'refused',
  ])
    t.strictSame(labelChanges(question({ state })), {}, state);
  t.strictSame(labelChanges(question({ isCurrent: false })), {});
  t.end();
});

void t.test('a label goes when the process no longer allows what it says', (t) => {
  const drift = driftWith({ entries: [], missing: ['net.core.somaxconn'] });
  t.strictSame(labelChanges(question({ drift, present: { 'sysctl-agent.dev/web': '0123456789' } })), {
    'sysctl-agent.dev/web': null,
  });
  t.end();
});

void t.test(
  'before a risk, labels of an older form of the policy go even where nobody has looked yet',
  (t) => {
    const present = { 'sysctl-agent.dev/web': 'aaaaaaaaaa', other: 'x' };
    t.strictSame(labelRemovals(question({ present, isCurrent: false })), { 'sysctl-agent.dev/web': null });
    t.strictSame(labelRemovals(question({ present })), {}, 'widened and proven: it is set, not removed');
    t.end();
  },
);

void t.test(
  'a label never says more than the running kubelet allows, whatever changes in whatever order',
  (t) => {
    const all = ['net.core.somaxconn', 'net.core.*', 'net.ipv4.tcp_tw_reuse', 'kernel.msgmax'];
    const hashOf = (entries: readonly string[]): string =>
      all.reduce((hash, entry) => hash + (entries.includes(entry) ? '1' : '0'), '').padEnd(10, '0');
    const allows = (process: readonly string[], entries: readonly string[]): boolean =>
      entries.every((entry) => isCovered(process, entry));
    const lists = fc.subarray(all);
    const states = fc.constantFrom(
      'converged',
      'drifted',
      'waitingForSlot',
      'applying',
      'refused',
      'latched',
    );
    fc.assert(
      fc.property(lists, lists, lists, states, fc.boolean(), (process, old, next, state, isWhole) => {
        const drift = driftWith({
          entries: process,
          missing: next.filter((entry) => !isCovered(process, entry)),
          extra: isWhole ? process.filter((entry) => !isCovered(next, entry)) : [],
        });
        const key = 'sysctl-agent.dev/web';
        const policies = [{ name: 'web', hash: hashOf(next), entries: next }];
        // The label of before was true: the process allowed it when it was set, and has not been restarted since.
        const present = allows(process, old) ? { [key]: hashOf(old) } : {};
        const asked = question({ present, policies, state, drift });
        const told = labelChanges(asked)[key];
        const after = told === undefined ? present[key] : (told ?? undefined);
        if (after === hashOf(next) && after !== present[key]) {
          t.ok(allows(process, next), 'proven');
          t.ok(['converged', 'drifted'].includes(state), 'and no change is open');
        }
        const isNarrowing = (drift.layers[2]?.extra ?? []).length > 0;
        if (isNarrowing && hashOf(old) !== hashOf(next))
          t.equal(after, undefined, 'narrowing: unlabelled first');
        if (isNarrowing && hashOf(old) !== hashOf(next) && key in present)
          t.equal(labelRemovals(asked)[key], null, 'at the latest before the restart');
        if (!isNarrowing && !allows(process, next) && hashOf(old) !== hashOf(next))
          t.equal(after, present[key], 'widening: what the old label says still holds');
      }),
    );
    t.end();
  },
);

void t.test(
  'nothing but labels below the prefix is ever changed, and only removed where it is a hash',
  (t) => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.oneof(fc.string(), fc.constantFrom('sysctl-agent.dev/a', 'sysctl-agent.dev/web')),
          fc.string(),
        ),
        fc.constantFrom('converged', 'applying', 'refused'),
        fc.boolean(),
        (present, state, narrowing) => {
          const drift = driftWith({
            entries: ['net.core.somaxconn'],
            extra: narrowing ? ['kernel.msgmax'] : [],
          });
          for (const [key, value] of Object.entries(labelChanges(question({ present, state, drift })))) {
            t.ok(key.startsWith('sysctl-agent.dev/'));
            if (value === null)
              t.ok(key === 'sysctl-agent.dev/web' || /^[0-9a-f]{10}$/.test(present[key] ?? ''));
            else t.equal(key, 'sysctl-agent.dev/web');
          }
        },
      ),
    );
    t.end();
  },
);

void t.test(
  'the start-up taint may go once all policies are in force; a node without policies has nothing to prove',
  (t) => {
    t.equal(isProven(question()), true);
    t.equal(isProven(question({ state: 'applying' })), false);
    t.equal(isProven(question({ isCurrent: false })), false);
    t.equal(
      isProven(question({ drift: driftWith({ entries: [], missing: ['net.core.somaxconn'] }) })),
      false,
    );
    t.equal(isProven(question({ policies: [], drift: driftWith({ entries: [] }) })), true);
    t.equal(isProven(question({ policies: [], state: 'starting' })), false);
    t.end();
  },
);

void t.test('the names that a kubelet did not allow are read from its words, old and new', (t) => {
  const read = (message: string): readonly string[] => forbiddenNames(message, ['kernel.msgmax']);
  t.strictSame(read('Pod was rejected: forbidden sysctl: "net.core.somaxconn" not allowlisted'), [
    'net.core.somaxconn',
  ]);
  t.strictSame(read('Pod forbidden sysctl: "net/core/somaxconn" not whitelisted'), ['net.core.somaxconn']);
  t.strictSame(read('forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host Net enabled'), [
    'kernel.msgmax',
  ]);
  t.strictSame(read(''), ['kernel.msgmax']);
  t.end();
});

const pod = (name: string, over: Partial<Extract<PodOfNode, { kind: 'forbidden' }>> = {}): PodOfNode => ({
  kind: 'forbidden',
  namespace: 'ns',
  name,
  uid: name,
  sysctls: ['a.b'],
  controlled: true,
  createdAtMs: 0,
  ...over,
});

void t.test('rejected pods are counted by namespace and missing entry, the most first', (t) => {
  const pods = [
    pod('a'),
    pod('b'),
    pod('c', { namespace: 'other' }),
    pod('d', { sysctls: ['a.b', 'c.d', 'a.b'] }),
  ];
  t.strictSame(countForbidden(pods), [
    { namespace: 'ns', sysctl: 'a.b', pods: 3 },
    { namespace: 'ns', sysctl: 'c.d', pods: 1 },
    { namespace: 'other', sysctl: 'a.b', pods: 1 },
  ]);
  t.end();
});

void t.test('leftovers are the older pods of controllers, oldest first; one of each kind is spared', (t) => {
  const pods = [
    pod('young', { createdAtMs: 3 }),
    pod('old', { createdAtMs: 1 }),
    pod('older', { createdAtMs: 0 }),
    pod('own', { controlled: false }),
    pod('else', { namespace: 'other' }),
  ];
  t.strictSame(
    leftovers(pods).map(({ name }) => name),
    ['older', 'old'],
  );
  t.end();
});

void t.test('no answer of an API server makes the readers throw', (t) => {
  fc.assert(
    fc.property(fc.anything(), (object) => {
      podOfObject(object);
      podOfObject({ metadata: object, spec: object, status: object });
    }),
  );
  t.end();
});

const context: StatusContext = {
  agentVersion: '1',
  slot: { kind: 'none' },
  forbidden: [],
  generations: { web: 3 },
  before: [],
};

void t.test(
  'every status satisfies the schema that the API server enforces, however much there is to say',
  (t) => {
    const long = 'x'.repeat(5_000);
    const many = Array.from({ length: 2_000 }, (_, at) => `net.core.entry${at}`);
    const full = nodeStatusOf(
      factsOf({
        policies: many.slice(0, 20),
        drift: { ...driftWith({ entries: many, missing: many, extra: ['net.a'] }), needsReload: true },
        driftSince: { 'allowlist/disk': 1_000 },
        conditions: [{ type: 'Converged', status: 'False', reason: 'PROOF_FAILED', message: long }],
        lastTransaction: {
          id: 't',
          startedAtMs: 0,
          endedAtMs: 1,
          verdict: 'broken',
          by: undefined,
          code: undefined,
          message: long,
        },
        latch: { transaction: 't', sinceMs: 0, code: 'PROOF_FAILED', message: long },
      }),
      {
        ...context,
        slot: { kind: 'halted', policy: 'web', by: ['n1', 'n2'] },
        forbidden: [{ namespace: 'a', sysctl: 'b', pods: 4 }],
      },
    );
    t.strictSame(mismatches(nodeStatusSchema, full), []);
    t.equal(full.drift.length, statusLimits.drift);
    t.equal(full.driftCount, 6_004);
    t.strictSame(mismatches(nodeStatusSchema, nodeStatusOf(factsOf({ policies: [] }), context)), []);
    t.strictSame(
      mismatches(nodeStatusSchema, { ...full, state: 7 }),
      ['.state is no string'],
      'and the check can fail',
    );
    t.end();
  },
);

void t.test('the message of a halted node names whom it waits for', (t) => {
  const slot = { kind: 'halted', policy: 'web', by: ['node-7'] } as const;
  const status = nodeStatusOf(factsOf({ policies: ['web'], state: 'halted' }), { ...context, slot });
  t.equal(status.message, 'The rollout of policy web is halted by node-7.');
  t.match(status.conditions.at(-1), { type: 'RolloutHalted', status: 'True', message: 'waits for node-7' });
  t.end();
});

void t.test('a latched node says which change failed, whatever was put right since', (t) => {
  const at = Date.UTC(2026, 0, 2);
  const status = nodeStatusOf(
    factsOf({
      policies: ['web'],
      state: 'latched',
      latch: { transaction: 'T1', sinceMs: at, code: 'KUBELET_EXITED', message: 'it exited' },
      lastTransaction: {
        id: 'T2',
        startedAtMs: at,
        endedAtMs: at,
        verdict: 'committed',
        by: 'agent',
        code: undefined,
        message: 'proven and committed',
      },
    }),
    context,
  );
  t.match(status, {
    message: 'KUBELET_EXITED: it exited',
    latched: {
      transaction: 'T1',
      since: '2026-01-02T00:00:00Z',
      code: 'KUBELET_EXITED',
      message: 'it exited',
    },
    lastTransaction: { id: 'T2', verdict: 'committed' },
  });
  t.end();
});

void t.test('news are told once, and nothing that was so before the agent began', (t) => {
  const none = { kind: 'none' } as const;
  const last = { id: 't', startedAtMs: 0, endedAtMs: 1, by: 'agent', code: undefined, message: '' } as const;
  const running = {
    facts: factsOf({ policies: [], lastTransaction: { ...last, verdict: 'running' } }),
    slot: none,
  };
  const done = {
    facts: factsOf({ policies: [], lastTransaction: { ...last, verdict: 'committed' } }),
    slot: none,
  };
  t.strictSame(eventsBetween(undefined, done), []);
  t.strictSame(eventsBetween(running, done), [
    { type: 'Normal', reason: 'SysctlsApplied', message: 'Change t was applied: the kubelet is proven.' },
  ]);
  t.strictSame(eventsBetween(done, done), []);
  const halted = { ...done, slot: { kind: 'halted', policy: 'web', by: ['n1'] } as const };
  t.match(eventsBetween(done, halted), [{ reason: 'RolloutHalted', message: /waits for n1/ }]);
  t.strictSame(eventsBetween(halted, halted), []);
  const refusal = (message: string) => ({
    facts: factsOf({
      policies: [],
      state: 'refused',
      conditions: [{ type: 'Converged', status: 'False', reason: 'UNIT_WRAPPED', message }],
    }),
    slot: none,
  });
  t.match(eventsBetween(done, refusal('a wrapper')), [
    { reason: 'SysctlsRefused', message: /UNIT_WRAPPED: a wrapper/ },
  ]);
  t.strictSame(eventsBetween(refusal('a wrapper'), refusal('a wrapper')), []);
  t.equal(eventsBetween(refusal('a wrapper'), refusal('another')).length, 1);
  t.end();
});
