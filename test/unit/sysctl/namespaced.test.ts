import t from 'tap';
import { freshNetworkValue, isCopiedFromNode } from '../../../agent/sysctl/fresh-namespace.ts';
import { eraOf, kubeletNamespaced, namespaceOf, runcAllows } from '../../../agent/sysctl/namespaced.ts';

void t.test("the kernel's namespace of a sysctl", (t) => {
  const table: Readonly<Record<string, readonly string[]>> = {
    net: [
      'net.core.somaxconn',
      'net/core/somaxconn',
      'net.ipv4.tcp_rmem',
      'net.ipv4.conf.eth0/100.rp_filter',
      'net.mptcp.enabled',
    ],
    ipc: ['kernel.sem', 'kernel.shmmax', 'kernel.auto_msgmni', 'kernel.sem_next_id', 'fs.mqueue.msg_max'],
    uts: ['kernel.hostname', 'kernel.domainname'],
    pid: ['kernel.pid_max', 'kernel.ns_last_pid'],
    user: ['user.max_user_namespaces'],
    none: [
      'vm.swappiness',
      'fs.file-max',
      'kernel.panic',
      'kernel.shm',
      'net.core.rmem_max',
      'net.core.wmem_default',
      'net.core.netdev_max_backlog',
      'net.core.bpf_jit_enable',
      'net.ipv4.tcp_mem',
      'net.ipv4.neigh.default.gc_thresh1',
      'net.ipv6.neigh.default.gc_thresh3',
      'net.ipv4.route.max_size',
      'net.nf_conntrack_max',
      'net.netfilter.nf_conntrack_max',
      'net.netfilter.nf_conntrack_buckets',
    ],
  };
  for (const [namespace, names] of Object.entries(table)) {
    for (const name of names) t.equal(namespaceOf(name), namespace, name);
  }
  t.end();
});

void t.test('per interface and per namespace entries beside those of the node are told apart', (t) => {
  t.equal(freshNetworkValue('net.ipv4.neigh.eth0.gc_stale_time'), 'own');
  t.equal(freshNetworkValue('net.ipv4.route.flush'), 'own');
  t.equal(freshNetworkValue('net.netfilter.nf_conntrack_tcp_timeout_established'), 'own');
  t.equal(freshNetworkValue('net.core.rmem_max'), 'readOnly');
  t.equal(freshNetworkValue('net/core/default_qdisc'), 'absent');
  t.equal(isCopiedFromNode('net/ipv4/tcp_wmem'), true);
  t.equal(isCopiedFromNode('net.core.somaxconn'), false);
  t.end();
});

void t.test(
  "the kubelet's idea of a namespaced name changed with 1.29; not knowing takes the later one",
  (t) => {
    const at = (name: string, minor: number): boolean => kubeletNamespaced(name, { major: 1, minor });
    for (const name of ['kernel.shm_next_id', 'kernel.msg_next_id', 'kernel.shmx']) {
      t.same(
        [at(name, 22), at(name, 28), at(name, 29), kubeletNamespaced(name, undefined)],
        [true, true, false, false],
        name,
      );
    }
    for (const name of ['kernel.sem', 'kernel.shmmax', 'net.x', 'net/x', 'fs.mqueue.x']) {
      t.same(
        [at(name, 22), at(name, 28), at(name, 29), kubeletNamespaced(name, undefined)],
        [true, true, true, true],
        name,
      );
    }
    for (const name of [
      'kernel.hostname',
      'kernel.sem_next_id',
      'vm.x',
      'net',
      'fs.mqueue',
      'user.max_ipc_namespaces',
    ]) {
      t.same(
        [at(name, 22), at(name, 28), at(name, 29), kubeletNamespaced(name, undefined)],
        [false, false, false, false],
        name,
      );
    }
    t.end();
  },
);

void t.test('eras begin with 1.23 and 1.29', (t) => {
  const era = (major: number, minor: number): string => eraOf({ major, minor });
  t.same(
    [era(0, 30), era(1, 4), era(1, 22), era(1, 23), era(1, 28), era(1, 29), era(2, 0)],
    ['dotsOnly', 'dotsOnly', 'dotsOnly', 'prefixes', 'prefixes', 'exactNames', 'exactNames'],
  );
  t.end();
});

void t.test('runc is narrower than the kubelet', (t) => {
  for (const name of [
    'net.core.somaxconn',
    'net/core/x',
    'fs.mqueue.msg_max',
    'kernel.shmmax',
    'kernel.sem',
    'kernel.domainname',
  ]) {
    t.equal(runcAllows(name), true, name);
  }
  for (const name of [
    'kernel.shm_next_id',
    'kernel.hostname',
    'kernel.auto_msgmni',
    'vm.swappiness',
    'kernel.shm',
  ]) {
    t.equal(runcAllows(name), false, name);
  }
  t.end();
});
