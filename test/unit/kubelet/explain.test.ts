import t from 'tap';
import { explainSysctl } from '../../../agent/kubelet/explain.ts';
import type { KubeletVersion } from '../../../agent/kubelet/version.ts';

const v = (minor: number): KubeletVersion => ({ major: 1, minor, patch: 0, text: `v1.${minor}.0` });
const kernel = { major: 6, minor: 18 };

void t.test('a sysctl is explained whole', (t) => {
  t.same(explainSysctl('net/core/somaxconn', v(36), kernel), {
    name: 'net.core.somaxconn',
    namespace: 'net',
    kubelet: 'needsEntry',
    entry: 'net.core.somaxconn',
    safeSince: undefined,
    runcAllows: true,
    freshValue: 'kernelDefault',
  });
  t.same(explainSysctl('net.ipv4.tcp_keepalive_time', v(36), kernel), {
    name: 'net.ipv4.tcp_keepalive_time',
    namespace: 'net',
    kubelet: 'safe',
    entry: undefined,
    safeSince: { kubelet: '1.29', kernel: '4.5' },
    runcAllows: true,
    freshValue: 'kernelDefault',
  });
  t.end();
});

void t.test('what is safe depends on the kubelet and the kernel', (t) => {
  const say = (minor: number, major: number): string => {
    const { kubelet, entry } = explainSysctl('net.ipv4.tcp_rmem', v(minor), { major, minor: 0 });
    return `${kubelet} ${entry}`;
  };
  t.equal(say(32, 5), 'safe undefined');
  t.equal(say(31, 5), 'needsEntry net.ipv4.tcp_rmem');
  t.equal(say(32, 4), 'needsEntry net.ipv4.tcp_rmem');
  t.equal(explainSysctl('net.ipv4.ping_group_range', v(18), undefined).kubelet, 'safe');
  t.equal(explainSysctl('net.ipv4.ping_group_range', undefined, kernel).kubelet, 'needsEntry');
  t.end();
});

void t.test(
  'names that are no entries may be covered by the pattern of their family, and by none else',
  (t) => {
    const entry = (name: string, minor: number): string | undefined =>
      explainSysctl(name, v(minor), kernel).entry;
    t.equal(entry('kernel.shm_next_id', 28), 'kernel.shm_next_id');
    t.equal(entry('kernel.shm_next_id', 29), 'kernel.shm*');
    t.equal(entry('kernel.sem_next_id', 36), 'kernel.sem*');
    t.equal(entry('kernel.auto_msgmni', 36), undefined);
    t.equal(explainSysctl('kernel.auto_msgmni', v(36), kernel).kubelet, 'never');
    t.equal(explainSysctl('kernel.shm_next_id', v(36), kernel).runcAllows, false);
    t.equal(explainSysctl('vm.max_map_count', v(36), kernel).kubelet, 'never');
    t.equal(explainSysctl('net.ipv4.conf.eth0/100.rp_filter', v(22), kernel).kubelet, 'never');
    t.equal(explainSysctl('net.ipv4.conf.eth0/100.rp_filter', v(23), kernel).kubelet, 'needsEntry');
    t.end();
  },
);

void t.test('what a fresh pod finds', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['net.core.somaxconn', 'kernelDefault'],
    ['net.ipv4.tcp_rmem', 'copiedFromNode'],
    ['net.ipv4.tcp_congestion_control', 'copiedFromNode'],
    ['net.core.rmem_max', 'nodeValueReadOnly'],
    ['net.netfilter.nf_conntrack_max', 'nodeValueReadOnly'],
    ['net.core.netdev_max_backlog', 'absent'],
    ['net.ipv4.neigh.default.gc_thresh3', 'absent'],
    ['kernel.sem', 'kernelDefault'],
    ['fs.mqueue.msg_max', 'kernelDefault'],
    ['kernel.hostname', 'copiedFromNode'],
    ['user.max_user_namespaces', 'nodeValue'],
    ['vm.max_map_count', 'nodeValue'],
    ['kernel.pid_max', 'kernelDefault'],
  ];
  for (const [name, wanted] of table) t.equal(explainSysctl(name, v(36), kernel).freshValue, wanted, name);
  t.end();
});
