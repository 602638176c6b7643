import t from 'tap';
import { classifyCommand } from '../../../agent/kubelet/command.ts';

const classify = (line: string): string => {
  const argv = line.split(' ');
  const command = classifyCommand(argv[0] ?? '', argv);
  switch (command.kind) {
    case 'kubelet':
      return `kubelet ${command.argsFrom}`;
    case 'wrapper':
      return `wrapper ${command.wrapper}`;
    case 'distribution':
      return `distribution ${command.name}`;
    case 'unknown':
      return `unknown ${command.problem.code}`;
    default:
      return command satisfies never;
  }
};

void t.test('commands of real nodes are told apart', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['/usr/bin/kubelet --v=2', 'kubelet 1'],
    ['/opt/bin/kubelet', 'kubelet 1'],
    ['/opt/bin/kubelet-1.27.3 --v=2', 'kubelet 1'],
    ['/usr/local/bin/hyperkube kubelet --v=2', 'kubelet 2'],
    ['/usr/local/bin/hyperkube apiserver', 'unknown KUBELET_NOT_FOUND'],
    ['/bin/sh -c exec', 'wrapper sh -c'],
    ['/bin/bash -euc exec', 'wrapper sh -c'],
    ['/bin/busybox sh -c exec', 'wrapper sh -c'],
    ['/bin/bash /opt/azure/containers/kubelet.sh', 'wrapper script'],
    ['/opt/kubelet.sh --v=2', 'wrapper script'],
    ['/usr/lib/coreos/kubelet-wrapper --v=2', 'wrapper script'],
    ['/usr/bin/python3 /opt/start', 'wrapper script'],
    ['/usr/bin/docker run --name kubelet image /hyperkube kubelet', 'wrapper docker run'],
    ['/usr/bin/docker -H unix:///run/docker.sock run image', 'wrapper docker run'],
    ['/usr/bin/docker logs -f kubelet', 'wrapper docker logs'],
    ['/usr/bin/podman run --name kubelet image kubelet', 'wrapper podman run'],
    ['/usr/bin/rkt run image', 'wrapper rkt run'],
    ['/usr/bin/rkt', 'wrapper rkt'],
    ['/usr/local/bin/kubenswrapper /usr/bin/kubelet --v=2', 'wrapper kubenswrapper'],
    ['systemd-inhibit --what=shutdown /opt/kubernetes/bin/kubelet-wrapper', 'wrapper systemd-inhibit'],
    ['/usr/bin/nice -n 5 /usr/bin/kubelet --v=2', 'wrapper nice'],
    ['/usr/local/bin/k3s agent', 'distribution k3s'],
    ['/usr/local/bin/rke2 agent', 'distribution rke2'],
    ['/usr/local/bin/k0s worker --config=/etc/k0s.yaml', 'distribution k0s'],
    ['/usr/bin/microshift run', 'distribution microshift'],
    ['/usr/bin/openshift start node --config=x', 'distribution openshift3'],
    ['/usr/bin/snap run microk8s.daemon-kubelite', 'distribution microk8s'],
    ['/usr/bin/snap run kubelet.daemon', 'distribution charmed-kubernetes'],
    ['/usr/bin/snap run firefox', 'unknown KUBELET_NOT_FOUND'],
    ['/usr/bin/false', 'unknown KUBELET_NOT_FOUND'],
    ['', 'unknown UNIT_HAS_NO_COMMAND'],
  ];
  for (const [line, wanted] of table) t.equal(classify(line), wanted, line);
  t.end();
});

void t.test('the executable is the path that systemd runs, not the name it passes', (t) => {
  t.same(classifyCommand('/usr/bin/kubelet', ['agent', '--v=2']), {
    kind: 'kubelet',
    executable: '/usr/bin/kubelet',
    argsFrom: 1,
  });
  t.equal(classifyCommand('/usr/bin/false', ['/usr/bin/kubelet']).kind, 'unknown');
  t.equal(classifyCommand('/usr/bin/kubelet', []).kind, 'unknown');
  t.end();
});

void t.test('whatever is no plain kubelet comes with a code and a way out', (t) => {
  for (const argv of [
    ['/bin/sh', '-c', 'x'],
    ['/usr/bin/docker', 'logs', 'kubelet'],
    ['/usr/bin/k3s'],
    ['/x'],
  ]) {
    const command = classifyCommand(argv[0] ?? '', argv);
    t.ok(
      command.kind !== 'kubelet' && command.problem.next !== undefined && command.problem.next.length > 10,
      argv.join(' '),
    );
  }
  const wrapped = classifyCommand('/bin/sh', ['/bin/sh', '-c', 'exec kubelet']);
  t.equal(wrapped.kind === 'wrapper' && wrapped.problem.code, 'UNIT_WRAPPED');
  t.end();
});
