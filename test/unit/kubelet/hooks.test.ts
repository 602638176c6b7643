import t from 'tap';
import type { UnitHooks } from '../../../agent/kubelet/hooks.ts';
import { dangerousHooks } from '../../../agent/kubelet/hooks.ts';
import { shellCommands } from '../../../agent/kubelet/shell-commands.ts';

type Setting = 'execStartPre' | 'execStop' | 'execStopPost';
const none: UnitHooks = { execStartPre: [], execStop: [], execStopPost: [], killMode: 'process' };
const judge = (setting: Setting, ...argv: string[]): string => {
  const { problems, warnings } = dangerousHooks({ ...none, [setting]: [argv] });
  return [...problems.map(({ code }) => code), ...warnings.map(() => 'warning')].join(' ');
};
const line = (setting: Setting, text: string): string => judge(setting, ...text.split(' '));

void t.test('stop commands that take pods down are problems', (t) => {
  for (const setting of ['execStop', 'execStopPost'] as const) {
    for (const text of [
      '/usr/bin/crictl stopp --all',
      '/usr/bin/crictl rmp -af',
      '/usr/bin/docker stop web',
      '/usr/bin/docker kill kubelet web',
      '/usr/bin/podman stop --all',
      '/usr/bin/ctr -n k8s.io task kill web',
      '/usr/bin/pkill containerd-shim',
      '/usr/bin/killall -9 containerd',
      '/bin/kill -9 -1',
      '/usr/bin/systemctl stop containerd',
      '/usr/bin/systemctl restart docker.service',
      '/usr/sbin/reboot',
      '/bin/umount -R /var/lib/kubelet',
      '/bin/rm -rf /var/lib/kubelet/pods',
    ]) {
      t.equal(line(setting, text), 'UNIT_STOP_UNSAFE', `${setting} ${text}`);
    }
  }
  t.end();
});

void t.test('commands inside a shell are looked at one by one', (t) => {
  const stop = (text: string): string => judge('execStop', '/bin/bash', '-c', text);
  t.equal(stop('docker stop kubelet && crictl stop -t 60 $$(crictl ps -q)'), 'UNIT_STOP_UNSAFE');
  t.equal(
    stop("cgls /a | grep -Eo '(containerd|kubelet)' | awk '{print $1}' | xargs -r kill"),
    'UNIT_STOP_UNSAFE warning',
  );
  t.equal(stop('docker stop kubelet; true'), '');
  t.equal(
    judge('execStopPost', '/usr/bin/env', 'sh', '-c', 'timeout 30 crictl stopp -a || :'),
    'UNIT_STOP_UNSAFE',
  );
  t.end();
});

void t.test("rke2's own way to end its leftovers is a warning, and only word for word", (t) => {
  const leftovers = (what: string, unit = 'rke2-agent'): string =>
    judge(
      'execStopPost',
      '/bin/sh',
      '-c',
      `systemd-cgls /system.slice/${unit}.service | grep -Eo '[0-9]+ (${what})' | awk '{print $1}' | xargs -r kill`,
    );
  t.equal(leftovers('containerd|kubelet'), 'warning');
  t.equal(leftovers('containerd|kubelet', 'rke2-server'), 'warning');
  t.match(leftovers('containerd|kubelet|pause'), /^UNIT_STOP_UNSAFE/);
  t.match(leftovers('containerd|kubelet', 'kubelet'), /^UNIT_STOP_UNSAFE/);
  t.end();
});

void t.test('ending the kubelet itself, and saying so, is harmless', (t) => {
  for (const text of [
    '/bin/kill -s TERM $MAINPID',
    '/bin/kill -TERM ${MAINPID}',
    '/usr/bin/docker stop kubelet',
    '/usr/bin/podman stop -t 10 kubelet',
    '/usr/bin/rkt stop --uuid-file=/var/cache/kubelet-pod.uuid',
    '/bin/true',
    '/usr/bin/logger kubelet stopped',
  ]) {
    t.equal(line('execStop', text), '', text);
  }
  t.end();
});

void t.test('a stop command that cannot be read is a warning', (t) => {
  t.equal(line('execStop', '/opt/stop-kubelet'), 'warning');
  t.equal(line('execStopPost', '/usr/bin/rm /etc/dnsmasq.d/node-dnsmasq.conf'), 'warning');
  t.end();
});

void t.test('what kubelets are prepared with is harmless', (t) => {
  for (const text of [
    '/bin/mkdir -p /etc/kubernetes/manifests',
    '/bin/mount --make-shared /var/lib/kubelet',
    '/sbin/modprobe br_netfilter',
    '/usr/sbin/sysctl -w vm.overcommit_memory=1',
    '/sbin/iptables -P FORWARD ACCEPT -w 5',
    '/usr/bin/docker rm -f kubelet',
    '/usr/bin/podman rm kubelet',
    '/usr/bin/rkt rm --uuid-file=/var/cache/kubelet-pod.uuid',
    '/usr/sbin/swapoff -a',
  ]) {
    t.equal(line('execStartPre', text), '', text);
  }
  t.end();
});

void t.test('what every start changes on the node is a warning', (t) => {
  for (const text of [
    '/usr/sbin/sysctl -a --system',
    '/usr/sbin/sysctl -p /etc/sysctl.d/90-kubelet.conf',
    '/usr/lib/systemd/systemd-sysctl',
    '/bin/systemctl restart systemd-sysctl.service',
    '/bin/rm -f /var/lib/kubelet/cpu_manager_state',
    '/usr/bin/docker run --rm -v /opt/bin:/opt/bin:rw image cp /kubelet /opt/bin',
    '/usr/bin/docker run --rm -d -v /opt/bin:/opt/bin:rw image',
    '/usr/bin/docker pull image',
    '/usr/bin/curl -o /opt/bin/kubelet https://example.com/kubelet',
  ]) {
    t.equal(line('execStartPre', text), 'warning', text);
  }
  t.end();
});

void t.test('a kubelet created as a container before the start cannot be given a flag', (t) => {
  t.equal(line('execStartPre', '/usr/bin/docker run -d --name kubelet image kubelet'), 'UNIT_WRAPPED');
  t.equal(line('execStartPre', '/usr/bin/docker run --detach --name kubelet image'), 'UNIT_WRAPPED');
  t.equal(judge('execStartPre', '/bin/sh', '-c', 'docker rm -f $(docker ps -aq)'), 'UNIT_STOP_UNSAFE');
  t.end();
});

void t.test('the message names the setting, the command and what it does', (t) => {
  const { problems } = dangerousHooks({ ...none, execStop: [['/usr/bin/crictl', 'stopp', '-a']] });
  t.same(problems, [
    {
      code: 'UNIT_STOP_UNSAFE',
      message:
        'ExecStop= of the unit runs "/usr/bin/crictl stopp -a", which stops containers: a restart of the kubelet would end pods',
      next: 'Look at that line; take it out of the unit, or overrule with --force UNIT_STOP_UNSAFE.',
    },
  ]);
  t.end();
});

void t.test('kill modes: process is best, a whole cgroup is a hint, none needs a command of its own', (t) => {
  const mode = (killMode: string, execStop: UnitHooks['execStop'] = []): readonly [number, number] => {
    const { problems, warnings, hints } = dangerousHooks({ ...none, killMode, execStop });
    t.same(warnings, []);
    return [problems.length, hints.length];
  };
  t.same(mode('process'), [0, 0]);
  t.same(mode('control-group'), [0, 1]);
  t.same(mode('mixed'), [0, 1]);
  t.same(mode('none'), [1, 0]);
  t.same(mode('none', [['/bin/kill', '$MAINPID']]), [0, 0]);
  t.end();
});

void t.test('a shell text is cut into its simple commands', (t) => {
  const cut = (text: string): readonly (readonly string[])[] => shellCommands(['/bin/sh', '-c', text]);
  t.same(cut('A=1 exec a b; c | xargs -r d'), [['a', 'b'], ['c'], ['d']]);
  t.same(cut("bash -c 'x y && z'"), [['x', 'y'], ['z']]);
  t.same(cut('if [ -f x ]; then a; fi'), [['[', '-f', 'x', ']'], ['a'], ['fi']]);
  t.same(cut('a \\\n  b'), [['a', 'b']]);
  t.same(cut('  '), []);
  t.same(shellCommands(['/bin/a', 'b;c']), [['/bin/a', 'b;c']]);
  t.same(shellCommands([]), []);
  t.end();
});
