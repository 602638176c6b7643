import * as fc from 'fast-check';
import { test } from 'tap';
import { podOfObject } from '../../../agent/cluster/forbidden-pods.ts';
import { eitherKnows, withPodsOfCluster } from '../../../agent/engine/pods-in-use.ts';
import { noPods } from '../../../agent/engine/reporter.ts';
import type { RunningPods } from '../../../agent/host/running-pods.ts';
import { podsAtRisk } from '../../../agent/plan/removal.ts';

const pod = (
  name: string,
  sysctls: Readonly<Record<string, string>>,
): { namespace: string; name: string; uid: string; sysctls: Readonly<Record<string, string>> } => ({
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  sysctls,
});
const known = (...pods: readonly ReturnType<typeof pod>[]): RunningPods => ({
  kind: 'known',
  runtime: 'containerd',
  pods,
});
const told = (...running: readonly ReturnType<typeof pod>[]): Parameters<typeof eitherKnows>[1] => ({
  kind: 'known',
  running,
  forbidden: [],
});

void test('a pod that either knows is in use, once, with the sysctls of both in one spelling', (t) => {
  const runtime = known(pod('a', { 'net.core.somaxconn': '1' }), pod('b', { 'kernel.msgmax': '1' }));
  const cluster = told(
    pod('a', { 'net/core/somaxconn': '1', 'net.ipv4.tcp_tw_reuse': '1' }),
    pod('c', { 'kernel.sem': '1' }),
  );
  t.same(eitherKnows(runtime, cluster), {
    kind: 'known',
    runtime: 'containerd+API server',
    pods: [
      pod('a', { 'net.core.somaxconn': '1', 'net.ipv4.tcp_tw_reuse': '1' }),
      pod('b', { 'kernel.msgmax': '1' }),
      pod('c', { 'kernel.sem': '1' }),
    ],
  });
  t.end();
});

void test('what the API server cannot tell is unknown; a runtime that cannot is made up for', (t) => {
  const away = { kind: 'unknown', reason: 'the watch is down' } as const;
  t.same(eitherKnows(known(pod('a', {})), away), away);
  t.match(eitherKnows({ kind: 'unknown', reason: 'no runtime' }, told(pod('c', {}))), {
    kind: 'known',
    runtime: 'API server',
    pods: [{ name: 'c' }],
  });
  const alone = { runningPods: async () => Promise.resolve(known()) };
  t.equal(withPodsOfCluster(alone, noPods), alone, 'without a cluster the runtime alone is asked');
  t.end();
});

void test('no pod that one of them knows to lose an entry is left out, whatever the other knows', (t) => {
  const names = [
    'net.core.somaxconn',
    'net/core/somaxconn',
    'net.ipv4.tcp_tw_reuse',
    'net/ipv4/tcp_tw_reuse',
    'kernel.msgmax',
  ];
  const pods = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      sysctls: fc.dictionary(fc.constantFrom(...names), fc.constant('1')),
    }),
    { maxLength: 5 },
  );
  const lists = fc.subarray(['net.core.somaxconn', 'net.ipv4.*', 'net/core/*', 'kernel.msg*']);
  fc.assert(
    fc.property(pods, pods, lists, lists, (one, other, before, after) => {
      const runtime = known(...one.map(({ name, sysctls }) => pod(name, sysctls)));
      const cluster = told(...other.map(({ name, sysctls }) => pod(name, sysctls)));
      const both = eitherKnows(runtime, cluster);
      const losers = podsAtRisk(both.kind === 'known' ? { ...both, from: '' } : both, before, after, []);
      const each = [...one, ...other].filter(
        ({ name, sysctls }) =>
          podsAtRisk({ kind: 'known', from: '', pods: [pod(name, sysctls)] }, before, after, []).length > 0,
      );
      return each.every(({ name }) => losers.some((loser) => loser.name === name));
    }),
  );
  t.end();
});

const object = (spec: object, status: object = { phase: 'Pending' }): object => ({
  metadata: { name: 'a', namespace: 'shop', uid: 'u', resourceVersion: '1' },
  spec: {
    securityContext: {
      sysctls: [
        { name: 'net.core.somaxconn', value: '1' },
        { name: 'kernel.msgmax', value: '1' },
      ],
    },
    ...spec,
  },
  status,
});

void test('a pod on its way to the node counts; what it would set in the node’s own namespaces does not', (t) => {
  const sysctlsOf = (spec: object): readonly string[] =>
    Object.keys(podOfObject(object(spec))?.sysctls ?? {});
  t.same(sysctlsOf({}), ['net.core.somaxconn', 'kernel.msgmax']);
  t.same(sysctlsOf({ hostNetwork: true }), ['kernel.msgmax']);
  t.same(sysctlsOf({ hostIPC: true }), ['net.core.somaxconn']);
  t.equal(podOfObject(object({ hostIPC: true, hostNetwork: true })), undefined);
  t.equal(podOfObject(object({}, { phase: 'Succeeded' })), undefined);
  t.end();
});
