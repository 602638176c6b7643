import t from 'tap';
import { auditPrivileged } from '../../../agent/admission/audit.ts';
import { sysctlCommands } from '../../../agent/admission/sysctl-commands.ts';

const shell = (text: string): ReturnType<typeof sysctlCommands> => sysctlCommands(['sh', '-c', text]);

function pod(name: string, spec: object, metadata: object = {}): object {
  return {
    kind: 'Pod',
    metadata: { namespace: 'shop', name, ...metadata },
    spec: { containers: [{ name: 'app' }], ...spec },
  };
}

function privileged(text: string, name = 'sysctl'): object {
  return { name, securityContext: { privileged: true }, command: ['sh', '-c', text] };
}

void t.test('what sysctl(8) sets is found in every usual way of writing it', (t) => {
  const somaxconn = { settings: [{ name: 'net.core.somaxconn', value: '512' }], opaque: false };
  t.strictSame(shell('sysctl -w net.core.somaxconn=512'), somaxconn);
  t.strictSame(shell('/sbin/sysctl -q net.core.somaxconn=512 || true'), somaxconn);
  t.strictSame(shell('set -e; echo hi && busybox sysctl -w "net/core/somaxconn=512"'), somaxconn);
  t.strictSame(sysctlCommands(['sysctl', '-w', 'net.core.somaxconn=512']), somaxconn);
  t.strictSame(shell('echo 512 > /proc/sys/net/core/somaxconn'), somaxconn);
  t.strictSame(shell('echo -n 512 >/proc/sys/net/core/somaxconn'), somaxconn);
  t.strictSame(
    // The init container of an ingress controller, as the original story found it.
    shell('sysctl -w net.core.somaxconn=32768; sysctl -w net.ipv4.ip_local_port_range="32768 65535"')
      .settings,
    [
      { name: 'net.core.somaxconn', value: '32768' },
      { name: 'net.ipv4.ip_local_port_range', value: '32768 65535' },
    ],
  );
  t.strictSame(shell('echo 1 | tee /proc/sys/net/ipv4/ip_forward').settings, [
    { name: 'net.ipv4.ip_forward', value: undefined },
  ]);
  t.end();
});

void t.test(
  'reading a sysctl is no setting, and what only a file or a variable tells is said to be opaque',
  (t) => {
    const nothing = { settings: [], opaque: false };
    t.strictSame(
      shell('sysctl net.core.somaxconn; sysctl -n vm.swappiness; cat /proc/sys/net/core/somaxconn'),
      nothing,
    );
    t.strictSame(shell('nginx -g "daemon off;"'), nothing);
    t.strictSame(sysctlCommands([]), nothing);
    t.strictSame(shell('sysctl -p /etc/sysctl.d/x.conf'), { settings: [], opaque: true });
    t.strictSame(shell('sysctl --system'), { settings: [], opaque: true });
    t.strictSame(shell('sysctl -w $NAME=1'), { settings: [], opaque: true });
    t.strictSame(shell('sysctl -w vm.swappiness=$VALUE').settings, [
      { name: 'vm.swappiness', value: undefined },
    ]);
    t.strictSame(shell('sysctl -w ../../etc/passwd=1'), { settings: [], opaque: true });
    t.end();
  },
);

void t.test('each setting gets the way out that fits it', (t) => {
  const text =
    'sysctl -w net.core.somaxconn=512 net.ipv4.tcp_syncookies=0 net.ipv4.tcp_mtu_probing=1 vm.max_map_count=262144 kernel.msg_next_id=1';
  const [found] = auditPrivileged([pod('web', { initContainers: [privileged(text)] })], ['net.core.*']);
  t.strictSame(
    found?.settings.map(({ name, replacement }) => [name, replacement]),
    [
      ['net.core.somaxconn', { kind: 'allowed' }],
      ['net.ipv4.tcp_syncookies', { kind: 'safe', sinceKubelet: '1.11' }],
      ['net.ipv4.tcp_mtu_probing', { kind: 'missingEntry' }],
      ['vm.max_map_count', { kind: 'nodeLevel' }],
      ['kernel.msg_next_id', { kind: 'refused' }],
    ],
  );
  t.equal(found?.replaceable, false);
  t.end();
});

void t.test('a pod is replaceable when every setting is, and none of its commands is opaque', (t) => {
  const audit = (text: string): unknown =>
    auditPrivileged([pod('web', { initContainers: [privileged(text)] })], ['net.*'])[0]?.replaceable;
  t.equal(audit('sysctl -w net.core.somaxconn=512'), true);
  t.equal(audit('sysctl -w net.core.somaxconn=512; sysctl -p'), false);
  t.equal(audit('sysctl -w net.core.somaxconn=512 vm.swappiness=1'), false);
  t.end();
});

void t.test('a pod in the host’s network changes the node itself', (t) => {
  const spec = {
    hostNetwork: true,
    initContainers: [privileged('sysctl -w net.core.somaxconn=512 kernel.sem=1')],
  };
  const [found] = auditPrivileged([pod('proxy', spec)], ['net.*', 'kernel.sem']);
  t.strictSame(
    found?.settings.map(({ replacement }) => replacement.kind),
    ['hostNamespace', 'allowed'],
  );
  t.end();
});

void t.test('the pods of a workload count once, by the name of the workload', (t) => {
  const init = { initContainers: [privileged('sysctl -w net.core.somaxconn=512')] };
  const owned = (name: string, kind: string, owner: string, labels: object = {}): object =>
    pod(name, init, { ownerReferences: [{ kind, name: owner }], labels });
  const list = {
    kind: 'List',
    items: [
      owned('web-6d4-a', 'ReplicaSet', 'web-6d4', { 'pod-template-hash': '6d4' }),
      owned('web-6d4-b', 'ReplicaSet', 'web-6d4', { 'pod-template-hash': '6d4' }),
      owned('db-0', 'StatefulSet', 'db'),
      pod('alone', init),
      {
        kind: 'CronJob',
        metadata: { namespace: 'shop', name: 'nightly' },
        spec: {
          jobTemplate: {
            spec: { template: { spec: { containers: [privileged('sysctl -w net.core.somaxconn=1')] } } },
          },
        },
      },
      pod('innocent', { initContainers: [{ name: 'x', command: ['sysctl', '-w', 'net.core.somaxconn=1'] }] }),
    ],
  };
  t.strictSame(
    auditPrivileged([list], []).map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`),
    ['Deployment shop/web', 'StatefulSet shop/db', 'Pod shop/alone', 'CronJob shop/nightly'],
  );
  t.end();
});

void t.test('what is no workload is passed over', (t) => {
  for (const object of [
    null,
    1,
    'x',
    [],
    {},
    { items: 'none' },
    { kind: 'Pod', spec: { containers: [null, 1] } },
    { kind: 'Service', spec: {} },
  ])
    t.strictSame(auditPrivileged([object], []), [], JSON.stringify(object));
  t.end();
});
