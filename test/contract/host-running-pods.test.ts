import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { type Test, test } from 'tap';
import { readRunningPods, type ReadRunningPods, type RunningPod } from '../../agent/host/running-pods.ts';
import {
  containerdContainer,
  containerdSandbox,
  crioSandbox,
  dockerBundle,
  dockerSandboxState,
  place,
  type PodFixture,
} from '../support/host/bundles.ts';
import { cannotRunContainerd, startContainerd } from '../support/host/containerd.ts';
import { fakeRunningPods } from '../support/host/running-pods.ts';

const tasks = '/run/containerd/io.containerd.runtime.v2.task';
const crio = '/run/containers/storage/overlay-containers';
const web: PodFixture = {
  id: 'a1',
  namespace: 'shop',
  name: 'web-0',
  uid: 'uid-web',
  sysctls: { 'net.core.somaxconn': '512' },
};
const plain: PodFixture = { id: 'b2', namespace: 'kube-system', name: 'proxy', uid: 'uid-proxy' };

function running({ namespace, name, uid, sysctls = {} }: PodFixture): RunningPod {
  return { namespace, name, uid, sysctls };
}

const harnesses: Readonly<
  Record<string, (t: Test, pods: readonly PodFixture[] | undefined) => ReadRunningPods>
> = {
  real: (t, pods) => {
    const root = t.testdir({});
    for (const pod of pods ?? [])
      place(root, `${tasks}/k8s.io/${pod.id}/config.json`, containerdSandbox(pod));
    return async (question) => readRunningPods({ ...question, root });
  },
  fake: (_t, pods) => {
    const fake = fakeRunningPods();
    fake.set(pods?.map(running) ?? { unknown: 'no pods of a container runtime were found' });
    return fake.read;
  },
};

for (const [name, build] of Object.entries(harnesses)) {
  void test(`the ${name} pods of a node`, async (t) => {
    await t.test('are told with the sysctls they use', async (t) => {
      const read = build(t, [plain, web]);
      t.strictSame(await read({ root: '/' }), {
        kind: 'known',
        pods: [running(plain), running(web)],
        runtime: 'containerd',
      });
    });

    await t.test('are unknown where no runtime tells', async (t) => {
      const read = build(t, undefined);
      t.match(await read({ root: '/' }), {
        kind: 'unknown',
        reason: /no pods of a container runtime were found/,
      });
    });
  });
}

void test('containers of a pod, bundles being removed and foreign containers are no pods', async (t) => {
  const root = t.testdir({});
  place(root, `${tasks}/k8s.io/a1/config.json`, containerdSandbox(web));
  place(root, `${tasks}/k8s.io/c3/config.json`, containerdContainer(web, 'nginx'));
  place(root, `${tasks}/k8s.io/.d4/config.json`, '{"half');
  mkdirSync(path.join(root, tasks, 'k8s.io', 'e5', 'rootfs'), { recursive: true });
  place(root, `${tasks}/k8s.io/f6/config.json`, dockerBundle({ ...web, id: 'f6' }));
  place(root, `${tasks}/moby/g7/config.json`, dockerBundle({ ...plain, id: 'g7' }));
  t.strictSame(await readRunningPods({ root }), {
    kind: 'known',
    pods: [running(web)],
    runtime: 'containerd',
  });
});

void test('one bundle that cannot be understood makes all of it unknown, and is named', async (t) => {
  for (const content of [
    '{"half',
    '[]',
    '{"annotations":[]}',
    '{"annotations":{"io.kubernetes.cri.container-type":1}}',
    '{"linux":{"sysctl":{"net.core.somaxconn":512}}}',
  ]) {
    const root = t.testdir({});
    place(root, `${tasks}/k8s.io/a1/config.json`, containerdSandbox(web));
    const broken = place(root, `${tasks}/k8s.io/b2/config.json`, content);
    const pods = await readRunningPods({ root });
    t.equal(pods.kind, 'unknown', content);
    t.ok(pods.kind === 'unknown' && pods.reason.startsWith(`${broken}: `), content);
  }
});

void test('a bundle that is a link or a pipe is not followed', async (t) => {
  const root = t.testdir({});
  const config = place(root, '/elsewhere/config.json', containerdSandbox(web));
  mkdirSync(path.join(root, tasks, 'k8s.io', 'a1'), { recursive: true });
  symlinkSync(config, path.join(root, tasks, 'k8s.io', 'a1', 'config.json'));
  t.match(await readRunningPods({ root }), { kind: 'unknown', reason: /ELOOP/ });
});

void test('older containerds are understood: the v1 runtime, and a uid in the log directory alone', async (t) => {
  const root = t.testdir({});
  const config = {
    annotations: {
      'io.kubernetes.cri.container-type': 'sandbox',
      'io.kubernetes.cri.sandbox-log-directory': '/var/log/pods/shop_web-0_uid-web',
    },
    linux: { sysctl: web.sysctls },
  };
  place(root, '/run/containerd/io.containerd.runtime.v1.linux/k8s.io/a1/config.json', config);
  t.match(await readRunningPods({ root }), { kind: 'known', pods: [running(web)] });
});

void test('a pod whose sandbox is being replaced counts once, with all of its sysctls', async (t) => {
  const root = t.testdir({});
  const other = { 'kernel.shm_rmid_forced': '1' };
  place(root, `${tasks}/k8s.io/a1/config.json`, containerdSandbox(web));
  place(root, `${tasks}/k8s.io/a2/config.json`, containerdSandbox({ ...web, id: 'a2', sysctls: other }));
  t.match(await readRunningPods({ root }), {
    pods: [{ name: 'web-0', sysctls: { ...web.sysctls, ...other } }],
  });
});

for (const [endpoint, state] of [
  ['unix:///run/containerd/containerd.sock', '/run/containerd'],
  ['unix:///var/run/containerd/containerd.sock', '/run/containerd'],
  ['/run/k3s/containerd/containerd.sock', '/run/k3s/containerd'],
  ['unix:///run/k0s/containerd.sock', '/run/k0s/containerd'],
  ['unix:///var/snap/microk8s/common/run/containerd.sock', '/var/snap/microk8s/common/run/containerd'],
  ['unix:///data/containerd/containerd.sock', '/data/containerd'],
] as const) {
  void test(`the pods behind ${endpoint} are found in ${state}`, async (t) => {
    const root = t.testdir({ var: {} });
    symlinkSync('/run', path.join(root, 'var', 'run'));
    place(root, `${state}/io.containerd.runtime.v2.task/k8s.io/a1/config.json`, containerdSandbox(web));
    t.strictSame(await readRunningPods({ root, endpoint }), {
      kind: 'known',
      pods: [running(web)],
      runtime: 'containerd',
    });
  });
}

void test('no pods at all is an answer of the runtime that the kubelet uses, and of no other', async (t) => {
  const root = t.testdir({});
  mkdirSync(path.join(root, tasks), { recursive: true });
  const endpoint = 'unix:///run/containerd/containerd.sock';
  t.strictSame(await readRunningPods({ root, endpoint }), { kind: 'known', pods: [], runtime: 'containerd' });
  t.match(await readRunningPods({ root }), { kind: 'unknown' }, 'it may be there for something else');
  t.match(await readRunningPods({ root, endpoint: 'unix:///run/crio/crio.sock' }), { kind: 'unknown' });
  t.match(await readRunningPods({ root, endpoint: 'unix:///run/cri-dockerd.sock' }), { kind: 'unknown' });
  t.match(await readRunningPods({ root, endpoint: 'unix:///run/other/containerd.sock' }), {
    kind: 'unknown',
  });
});

void test('CRI-O’s pods are found, without those that ended and without podman’s containers', async (t) => {
  const root = t.testdir({});
  const ended = { ...web, id: 'c3', name: 'done', uid: 'uid-done' };
  place(root, `${crio}/a1/userdata/config.json`, crioSandbox(web));
  place(root, `${crio}/c3/userdata/config.json`, crioSandbox(ended));
  place(root, '/var/lib/containers/storage/overlay-containers/c3/userdata/stopped', '');
  place(root, `${crio}/d4/userdata/config.json`, dockerBundle({ ...web, id: 'd4' }));
  place(root, `${crio}/e5/userdata/attach`, '');
  for (const endpoint of ['unix:///var/run/crio/crio.sock', undefined]) {
    const pods = await readRunningPods({ root, ...(endpoint === undefined ? {} : { endpoint }) });
    t.strictSame(pods, { kind: 'known', pods: [running(web)], runtime: 'cri-o' });
  }
});

for (const state of ['/run/docker/containerd/daemon', '/run/containerd']) {
  void test(`docker’s pods are found in ${state}, named by docker’s own files`, async (t) => {
    const root = t.testdir({});
    const bundles = `${state}/io.containerd.runtime.v2.task/moby`;
    place(root, `${bundles}/a1/config.json`, dockerBundle(web));
    place(root, `${bundles}/b2/config.json`, dockerBundle(plain));
    place(root, `${bundles}/c3/config.json`, dockerBundle({ ...web, id: 'c3' }));
    place(root, '/etc/docker/daemon.json', { 'data-root': '/data/docker' });
    place(root, '/data/docker/containers/a1/config.v2.json', dockerSandboxState(web));
    place(root, '/data/docker/containers/c3/config.v2.json', { ID: 'c3', Config: { Labels: null } });
    for (const endpoint of ['unix:///var/run/dockershim.sock', undefined]) {
      const pods = await readRunningPods({ root, ...(endpoint === undefined ? {} : { endpoint }) });
      t.strictSame(pods, { kind: 'known', pods: [running(web)], runtime: 'docker' });
    }
  });
}

void test('a container of docker with sysctls, of which nobody knows whose it is, makes it unknown', async (t) => {
  const root = t.testdir({});
  place(root, `${tasks}/moby/a1/config.json`, dockerBundle(web));
  const pods = await readRunningPods({ root, endpoint: 'unix:///run/cri-dockerd.sock' });
  t.match(pods, {
    kind: 'unknown',
    reason: /container a1 uses sysctls.*\/var\/lib\/docker\/containers\/a1\/config\.v2\.json/,
  });
});

void test('two runtimes are both looked at where nobody says which one is the kubelet’s', async (t) => {
  const root = t.testdir({});
  place(root, `${tasks}/k8s.io/a1/config.json`, containerdSandbox(web));
  place(root, `${crio}/b2/userdata/config.json`, crioSandbox(plain));
  t.strictSame(await readRunningPods({ root }), {
    kind: 'known',
    pods: [running(plain), running(web)],
    runtime: 'containerd+cri-o',
  });
});

void test('links inside the root lead nowhere out of it', async (t) => {
  const root = t.testdir({ host: {}, run: {} });
  place(root, `${tasks}/k8s.io/a1/config.json`, containerdSandbox(web));
  symlinkSync('/run', path.join(root, 'host', 'run'));
  t.match(await readRunningPods({ root: path.join(root, 'host') }), { kind: 'unknown' });
});

void test(
  'pods of a real containerd are found as long as they run',
  { skip: cannotRunContainerd() },
  async (t) => {
    const containerd = await startContainerd(t);
    const question = { root: containerd.root, endpoint: 'unix:///run/containerd/containerd.sock' };
    const nobody = { kind: 'known', pods: [], runtime: 'containerd' } as const;
    t.strictSame(await readRunningPods(question), nobody);
    await containerd.run('a1', containerdSandbox(web));
    t.strictSame(await readRunningPods(question), { ...nobody, pods: [running(web)] });
    await containerd.run('b2', containerdSandbox(plain));
    await containerd.run('c3', containerdContainer(plain, 'proxy'));
    await containerd.remove('a1');
    t.strictSame(await readRunningPods(question), { ...nobody, pods: [running(plain)] });
  },
);
