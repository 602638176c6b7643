import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import type { Commands } from '../../agent/host/commands.ts';
import { podUidOf, readPodSysctls } from '../../agent/host/pod-namespaces.ts';

const uid = '0b2a3c4d-1e2f-4a5b-8c6d-7e8f90a1b2c3';
const slice = 'pod0b2a3c4d_1e2f_4a5b_8c6d_7e8f90a1b2c3.slice';
const id = 'f'.repeat(64);

/** Lines of /proc/PID/cgroup as runtimes and drivers make them. */
const paths: readonly [what: string, cgroup: string][] = [
  [
    'version 2, containerd, systemd driver',
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${slice}/cri-containerd-${id}.scope`,
  ],
  [
    'version 2, containerd, systemd driver, guaranteed',
    `0::/kubepods.slice/kubepods-${slice}/cri-containerd-${id}.scope`,
  ],
  ['version 2, containerd, cgroupfs driver', `0::/kubepods/besteffort/pod${uid}/${id}`],
  [
    'version 2, CRI-O, systemd driver',
    `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-${slice}/crio-${id}.scope`,
  ],
  [
    'version 2, CRI-O, systemd driver, in its own group below',
    `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${slice}/crio-${id}.scope/container`,
  ],
  ['version 2, CRI-O, cgroupfs driver', `0::/kubepods/burstable/pod${uid}/crio-${id}`],
  [
    'version 2, seen from a control group namespace beside it',
    `0::/../../kubepods-burstable-${slice}/cri-containerd-${id}.scope`,
  ],
  ['version 2, cgroupfs driver, seen from a control group namespace', `0::/../../pod${uid}/${id}`],
  [
    'version 2, below a node that is a container itself',
    `0::/kubelet/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-${slice}/cri-containerd-${id}.scope`,
  ],
  [
    'version 2, kubelet.slice of kind',
    `0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-${slice}/cri-containerd-${id}.scope`,
  ],
  [
    'version 1, systemd driver',
    `12:pids:/kubepods.slice/kubepods-${slice}/cri-containerd-${id}.scope\n1:name=systemd:/kubepods.slice/kubepods-${slice}/cri-containerd-${id}.scope\n0::/`,
  ],
  ['version 1, cgroupfs driver', `11:memory:/kubepods/burstable/pod${uid}/${id}\n0::/`],
  [
    'version 1, a kubelet with the systemd driver and a containerd without',
    `5:cpu:/system.slice/containerd.service/kubepods-burstable-${slice}:cri-containerd:${id}`,
  ],
];

for (const [what, cgroup] of paths)
  void test(`the pod of a process: ${what}`, async (t) => t.equal(podUidOf(`${cgroup}\n`), uid));

void test('a static pod has 32 hex digits, and what is no pod’s has no uid', async (t) => {
  const hash = '0123456789abcdef0123456789abcdef';
  t.equal(podUidOf(`0::/kubepods/burstable/pod${hash}/${id}\n`), hash);
  t.equal(
    podUidOf(
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${hash}.slice/crio-${id}.scope\n`,
    ),
    hash,
  );
  for (const cgroup of [
    '0::/init.scope',
    `0::/system.slice/crio-conmon-${id}.scope`,
    '0::/system.slice/containerd.service',
    '0::/kubepods.slice/kubepods-burstable.slice',
    '0::/user.slice/podman-1234.scope',
    `0::/machine.slice/libpod-${id}.scope`,
    `0::/kubepods/pod${uid}x/${id}`,
  ])
    t.equal(podUidOf(`${cgroup}\n`), undefined, cgroup);
});

interface Process {
  readonly pid: number;
  readonly cgroup: string;
  readonly net: number;
}

/** A /proc with these processes, and what was entered of it. */
function proc(
  t: Test,
  processes: readonly Process[],
): { procDir: string; commands: Commands; entered: string[] } {
  const procDir = t.testdir({});
  for (const { pid, cgroup, net } of [{ pid: 1, cgroup: '0::/init.scope', net: 1 }, ...processes]) {
    mkdirSync(path.join(procDir, String(pid), 'ns'), { recursive: true });
    symlinkSync(`net:[${net}]`, path.join(procDir, String(pid), 'ns/net'));
    writeFileSync(path.join(procDir, String(pid), 'cgroup'), `${cgroup}\n`);
  }
  const entered: string[] = [];
  const commands: Commands = {
    run: async (program, args) => {
      entered.push([program, ...args.slice(0, 1)].join(' ').replace(procDir, '/proc'));
      const pid = /(\d+)\/ns\/net/.exec(args[0] ?? '')?.[1];
      const net = processes.find((process) => String(process.pid) === pid)?.net ?? 0;
      const answer = { links: [`net:[${net}]`], readings: [{ text: '512\n' }] };
      return Promise.resolve({ kind: 'exited', code: 0, stdout: JSON.stringify(answer), stderr: '' });
    },
  };
  return { procDir, commands, entered };
}

const ask = [{ uid, names: ['net.core.somaxconn'] }];
const burstable = `0::/kubepods/burstable/pod${uid}`;

void test('the process with the lowest pid is entered', async (t) => {
  const { procDir, commands, entered } = proc(t, [
    { pid: 1200, cgroup: `${burstable}/${id}`, net: 7 },
    { pid: 900, cgroup: `${burstable}/${'e'.repeat(64)}`, net: 7 },
    { pid: 100, cgroup: '0::/system.slice/kubelet.service', net: 1 },
  ]);
  const answer = (await readPodSysctls(ask, { commands, procDir })).get(uid);
  t.strictSame(entered, ['nsenter --net=/proc/900/ns/net']);
  t.match(answer, {
    kind: 'read',
    readings: new Map([['net.core.somaxconn', { kind: 'value', value: '512' }]]),
  });
});

void test('a monitor in the host’s namespaces beside the pod’s processes is passed over', async (t) => {
  const { procDir, commands, entered } = proc(t, [
    { pid: 800, cgroup: `${burstable}/crio-conmon-${id}`, net: 1 },
    { pid: 801, cgroup: `${burstable}/crio-${id}`, net: 7 },
  ]);
  t.equal((await readPodSysctls(ask, { commands, procDir })).get(uid)?.kind, 'read');
  t.strictSame(entered, ['nsenter --net=/proc/801/ns/net']);
});

void test('a pod in the host’s namespaces, or none at all, is unreachable', async (t) => {
  const shared = proc(t, [{ pid: 800, cgroup: `${burstable}/${id}`, net: 1 }]);
  t.strictSame((await readPodSysctls(ask, shared)).get(uid), {
    kind: 'unreachable',
    reason: "the pod shares the host's net namespace, or it cannot be looked at",
  });
  const none = proc(t, []);
  t.strictSame((await readPodSysctls(ask, none)).get(uid), {
    kind: 'unreachable',
    reason: 'no process of the pod is to be seen',
  });
  t.strictSame([...shared.entered, ...none.entered], []);
});
