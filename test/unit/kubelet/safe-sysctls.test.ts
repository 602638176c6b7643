import t from 'tap';
import { kubeletNamespaced } from '../../../agent/sysctl/namespaced.ts';
import { knownSafeSysctls, parseKernelRelease, safeSysctls } from '../../../agent/kubelet/safe-sysctls.ts';
import {
  driftedKernelDefaults,
  kernelDefaults,
  kernelDefaultsProblem,
} from '../../../agent/kubelet/kernel-defaults.ts';
import type { KubeletVersion } from '../../../agent/kubelet/version.ts';

const v = (minor: number): KubeletVersion => ({ major: 1, minor, patch: 0, text: `v1.${minor}.0` });
const newKernel = { major: 6, minor: 1 };
const first = ['kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies'];

void t.test('each kubelet adds to the safe list of the one before', (t) => {
  const since18 = [...first, 'net.ipv4.ping_group_range'];
  const since22 = [...since18, 'net.ipv4.ip_unprivileged_port_start'];
  const since27 = [...since22, 'net.ipv4.ip_local_reserved_ports'];
  const tcp = ['keepalive_time', 'fin_timeout', 'keepalive_intvl', 'keepalive_probes'].map(
    (n) => `net.ipv4.tcp_${n}`,
  );
  const since29 = [...since27, ...tcp];
  const since32 = [...since29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];
  const table: readonly (readonly [number, readonly string[]])[] = [
    [10, []],
    [11, first],
    [17, first],
    [18, since18],
    [21, since18],
    [22, since22],
    [26, since22],
    [27, since27],
    [28, since27],
    [29, since29],
    [31, since29],
    [32, since32],
    [36, since32],
  ];
  for (const [minor, wanted] of table) t.same(safeSysctls(v(minor), newKernel), wanted, `1.${minor}`);
  t.end();
});

void t.test('an old kernel takes away what it does not keep per namespace', (t) => {
  const count = (major: number, minor: number): number => safeSysctls(v(36), { major, minor }).length;
  t.same(
    [
      count(3, 15),
      count(3, 16),
      count(4, 4),
      count(4, 5),
      count(4, 6),
      count(4, 14),
      count(4, 15),
      count(5, 0),
    ],
    [5, 6, 6, 9, 10, 10, 12, 12],
  );
  t.end();
});

void t.test('not knowing takes away what may be missing', (t) => {
  t.same(safeSysctls(undefined, newKernel), first);
  t.same(safeSysctls(undefined, undefined), first);
  t.equal(safeSysctls(v(36), undefined).length, 5);
  t.end();
});

void t.test('every safe sysctl is one that pods may set in every version', (t) => {
  for (const { name } of knownSafeSysctls) t.equal(kubeletNamespaced(name, undefined), true, name);
  t.end();
});

void t.test('kernel releases are read as far as they matter', (t) => {
  t.same(parseKernelRelease('5.14.0-427.el9.x86_64\n'), { major: 5, minor: 14 });
  t.same(parseKernelRelease('6.18.44+'), { major: 6, minor: 18 });
  t.same(parseKernelRelease('4.15'), { major: 4, minor: 15 });
  for (const text of ['', 'Linux 5.4', '5', '5.x', 'v5.4', '12345.1'])
    t.equal(parseKernelRelease(text), undefined, text);
  t.end();
});

void t.test('drifted kernel defaults are named in the words that the kubelet would fail with', (t) => {
  const good = new Map(kernelDefaults.map(({ name, value }) => [name, `${value}\n`]));
  t.same(
    driftedKernelDefaults((name) => good.get(name)),
    [],
  );
  t.equal(kernelDefaultsProblem([]), undefined);
  good.set('vm.overcommit_memory', '0\n');
  good.delete('kernel.keys.root_maxkeys');
  const drifted = driftedKernelDefaults((name) => good.get(name));
  t.same(kernelDefaultsProblem(drifted), {
    code: 'KERNEL_DEFAULTS_DRIFTED',
    message:
      'the kubelet has protectKernelDefaults and would not start again: invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0; invalid kernel flag: kernel/keys/root_maxkeys, expected value: 1000000, actual value: unknown',
    next: 'Set them first: sysctl -w vm.overcommit_memory=1 kernel.keys.root_maxkeys=1000000',
  });
  t.end();
});
