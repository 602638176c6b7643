import { test } from 'tap';
import { diskView, loadedView, processView } from '../../../agent/plan/layer-views.ts';
import type { ObservedNode } from '../../../agent/plan/observed.ts';
import { type Files, image, runningNode, startedAtMs } from './support/node.ts';

const k3sUnit = '/etc/systemd/system/k3s.service';
const k3sConfig = '/etc/rancher/k3s/config.yaml';
const k3s = (config: string | undefined, exec = '/usr/local/bin/k3s server'): Files => ({
  [k3sUnit]: `[Service]\nType=notify\nExecStart=${exec}\n`,
  ...(config === undefined ? {} : { [k3sConfig]: config }),
});
const argsFile = '/var/snap/microk8s/current/args/kubelet';
const microk8s = (args: string): Files => ({
  '/etc/systemd/system/snap.microk8s.daemon-kubelite.service':
    '[Service]\nExecStart=/usr/bin/snap run microk8s.daemon-kubelite\n',
  [argsFile]: args,
});

/** Every file is older than the process. */
function before(observed: ObservedNode, edited?: string): ObservedNode {
  const dated = <File extends { readonly path: string; readonly mtimeMs: number }>(file: File): File => ({
    ...file,
    mtimeMs: file.path === edited ? startedAtMs + 60_000 : startedAtMs - 60_000,
  });
  return {
    ...observed,
    unitFiles: observed.unitFiles.map(dated),
    environmentFiles: observed.environmentFiles.map(dated),
    distributionFiles: (observed.distributionFiles ?? []).map(dated),
  };
}

const views = (observed: ObservedNode): readonly unknown[] => [
  diskView(observed, observed.unitFiles),
  loadedView(observed),
  processView(observed),
];
const thrice = (view: object): readonly object[] => [view, view, view];

void test('k3s: the list of its file is in every layer, with the file as its holder', async (t) => {
  const list = 'kubelet-arg:\n- max-pods=70\n- allowed-unsafe-sysctls=net.core.somaxconn\n';
  const known = { kind: 'known', entries: ['net.core.somaxconn'], holder: k3sConfig };
  // k3s writes over its command line, as one word.
  for (const argv of [['/usr/local/bin/k3s', 'server'], ['/usr/local/bin/k3s server']]) {
    t.strictSame(views(before(await runningNode(k3s(list), { argv }))), thrice(known));
  }
});

void test('k3s: without an argument its own two are allowed, and no file holds them', async (t) => {
  t.strictSame(
    views(before(await runningNode(k3s(undefined)))),
    thrice({
      kind: 'known',
      entries: ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'],
      holder: undefined,
    }),
  );
});

void test('k3s: an argument of the unit counts, and the unit is its holder', async (t) => {
  const exec = '/usr/local/bin/k3s server --kubelet-arg=allowed-unsafe-sysctls=kernel.sem';
  t.strictSame(
    views(before(await runningNode(k3s('kubelet-arg: []\n', exec)))),
    thrice({ kind: 'known', entries: ['kernel.sem'], holder: k3sUnit }),
  );
});

void test('an edit after the start is on disk and no longer known of the process', async (t) => {
  const files = k3s('kubelet-arg: [allowed-unsafe-sysctls=kernel.sem]\n');
  const observed = before(await runningNode(files), k3sConfig);
  t.match(diskView(observed, observed.unitFiles), { kind: 'known', entries: ['kernel.sem'] });
  t.strictSame(processView(observed), {
    kind: 'unknown',
    reason: `${k3sConfig} was changed after the kubelet started`,
  });
  t.strictSame(processView(before(observed, k3sUnit)), {
    kind: 'unknown',
    reason: `${k3sUnit} was changed after the kubelet started`,
  });
});

void test('rke2: what a kubelet of its own was started with is seen in the process itself', async (t) => {
  const files = {
    '/usr/local/lib/systemd/system/rke2-agent.service': '[Service]\nExecStart=/usr/local/bin/rke2 agent\n',
    '/etc/rancher/rke2/config.yaml': 'kubelet-arg: ["allowed-unsafe-sysctls=kernel.sem"]\n',
    '/etc/rancher/rke2/config.yaml.d/10-team.yaml': 'kubelet-arg+: ["allowed-unsafe-sysctls=fs.mqueue.*"]\n',
  };
  const observed = before(await runningNode(files));
  t.strictSame(
    views(observed),
    thrice({
      kind: 'known',
      entries: ['kernel.sem', 'fs.mqueue.*'],
      holder: '/etc/rancher/rke2/config.yaml.d/10-team.yaml',
    }),
  );
  const argv = ['/opt/rke2/bin/kubelet', '--allowed-unsafe-sysctls=net.core.somaxconn'];
  t.match(processView(before(await runningNode(files, { argv }))), {
    kind: 'known',
    entries: ['net.core.somaxconn'],
  });
});

void test('microk8s: the arguments file is every layer, and without it nothing is known', async (t) => {
  const observed = before(
    await runningNode(microk8s('--root-dir=/var/x\n--allowed-unsafe-sysctls="net.core.somaxconn"\n'), {
      argv: ['/snap/microk8s/1/kubelite', `--kubelet-args-file=${argsFile}`],
    }),
  );
  t.strictSame(views(observed), thrice({ kind: 'known', entries: ['net.core.somaxconn'], holder: argsFile }));
  t.match(loadedView({ ...observed, distributionFiles: [] }), { kind: 'unknown' });
});

void test('an image has the disk alone, and a file that cannot be read hides it', async (t) => {
  const observed = await image(k3s('kubelet-arg: [allowed-unsafe-sysctls=kernel.sem]\n'));
  t.match(diskView(observed, observed.unitFiles), { kind: 'known', entries: ['kernel.sem'] });
  const broken = await image(k3s('kubelet-arg: [\n'));
  t.match(diskView(broken, broken.unitFiles), {
    kind: 'unknown',
    reason: /cannot read the kubelet's arguments/,
  });
  const hidden = { ...observed, unreadable: [{ path: `${k3sConfig}.d/9.yaml`, reason: 'it is no text' }] };
  t.match(diskView(hidden, hidden.unitFiles), { kind: 'unknown', reason: /9\.yaml: it is no text/ });
});

void test('what another config file would give is unknown where that file was not read', async (t) => {
  const observed = before(await runningNode(k3s('kubelet-arg: [allowed-unsafe-sysctls=kernel.sem]\n')));
  const files = observed.unitFiles.map((file) => ({
    ...file,
    text: '[Service]\nExecStart=/usr/local/bin/k3s server --config=/etc/other.yaml\n',
  }));
  t.match(diskView(observed, files), { kind: 'unknown' });
  t.match(loadedView(observed), { kind: 'known', entries: ['kernel.sem'] });
});

void test('a distribution that only its own tools may change stays unknown, with its own way', async (t) => {
  const observed = before(
    await runningNode(
      { '/etc/systemd/system/k0sworker.service': '[Service]\nExecStart=/usr/local/bin/k0s worker\n' },
      { unit: 'k0sworker.service' },
    ),
  );
  for (const view of views(observed)) t.match(view, { kind: 'unknown', reason: /k0s/ });
});
