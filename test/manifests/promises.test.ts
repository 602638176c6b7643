// What the manifests must agree on with each other and with the program.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { exitCodes } from '../../agent/cli/exit-codes.ts';
import { run } from '../support/cli/context.ts';
import { type Manifest, only, readManifests, render, whyNoKustomize } from './support/documents.ts';

interface PodSpec {
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly containers: readonly [
    {
      readonly image: string;
      readonly args: readonly string[];
      readonly volumeMounts: readonly Mount[];
      readonly securityContext: object;
    },
  ];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
}

interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
  readonly mountPropagation?: string;
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const podSpec = (object: Manifest): PodSpec =>
  (object['spec'] as { template: { spec: PodSpec } }).template.spec;
const daemonSet = only(readManifests('parts/agent/daemonset.yaml'), 'DaemonSet');
const job = only(readManifests('jobs/one-node.yaml'), 'Job');
const skip = (await whyNoKustomize()) ?? false;

void t.test('the Job sees of its node what the DaemonSet sees', async (t) => {
  const view = (object: Manifest): object => {
    const { hostNetwork, hostPID, hostIPC, containers, volumes } = podSpec(object);
    const [{ volumeMounts, securityContext }] = containers;
    const paths = new Map(volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
    const mounts = volumeMounts.filter(({ name }) => paths.get(name) !== undefined);
    return {
      hostNetwork,
      hostPID,
      hostIPC,
      securityContext,
      mounts: mounts.map((mount) => ({ ...mount, path: paths.get(mount.name) })),
    };
  };
  t.strictSame(view(job), view(daemonSet));
});

void t.test(
  'host paths lie at the same place below /host, whole directories, and what holds others’ mounts lets them go',
  async (t) => {
    const { containers, volumes } = podSpec(daemonSet);
    for (const mount of containers[0].volumeMounts) {
      const host = volumes.find(({ name }) => name === mount.name)?.hostPath?.path ?? '';
      t.equal(mount.mountPath, `/host${host === '/' ? '' : host}`);
      if (['/', '/var/lib/kubelet'].includes(host)) t.equal(mount.mountPropagation, 'HostToContainer', host);
    }
  },
);

void t.test('the Job gives up on the verdicts that the same again would not change', async (t) => {
  const { podFailurePolicy } = job['spec'] as {
    podFailurePolicy: { rules: readonly { action: string; onExitCodes?: { values: readonly number[] } }[] };
  };
  const { refused, rolledBack, needsPerson, usage } = exitCodes;
  t.match(podFailurePolicy.rules, [
    // A drained pod ends with 3 or 4 too, and says nothing of the node: the first rule that matches counts.
    { action: 'Ignore' },
    { action: 'FailJob', onExitCodes: { values: [refused, rolledBack, needsPerson, usage] } },
  ]);
});

void t.test('every image is the one that scripts/image builds for this version', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  for (const object of [daemonSet, job])
    t.equal(podSpec(object).containers[0].image, `localhost/kubelet-sysctl-agent:${version}`);
});

void t.test('the program knows every argument that the manifests give it', { skip }, async (t) => {
  const fileOnly = only(await render('overlays/file-only'), 'DaemonSet');
  for (const object of [daemonSet, job, fileOnly]) {
    const [command = '', ...args] = podSpec(object).containers[0].args;
    const { code, stdout } = await run([command, '--help']);
    t.equal(code, 0, command);
    for (const arg of args) t.match(stdout, `${arg.replace(/=.*/, '')} `, arg);
  }
});

void t.test('no role grants more than it lists', async (t) => {
  const rules = [...readManifests('base/rbac.yaml'), ...readManifests('parts/job/slots.yaml')].flatMap(
    (object) => (object['rules'] ?? []) as readonly Rule[],
  );
  t.ok(rules.length > 5);
  for (const { apiGroups, resources, verbs } of rules) {
    const all = [...apiGroups, ...resources, ...verbs];
    t.notOk(all.includes('*'), all.join(' '));
    t.notOk(
      ['secrets', 'configmaps', 'nodes/proxy', 'serviceaccounts/token'].some((each) =>
        resources.includes(each),
      ),
      resources.join(' '),
    );
    t.notOk(
      ['impersonate', 'escalate', 'bind', 'deletecollection'].some((each) => verbs.includes(each)),
      verbs.join(' '),
    );
  }
});

void t.test('without the API there is no token, no role and no webhook', { skip }, async (t) => {
  for (const directory of ['overlays/file-only']) {
    const objects = await render(directory);
    const kinds = new Set(objects.map(({ kind }) => kind));
    t.strictSame(
      [...kinds].filter((kind) => !['Namespace', 'ServiceAccount', 'ConfigMap', 'DaemonSet'].includes(kind)),
      [],
      directory,
    );
    for (const object of objects.filter(({ kind }) => kind === 'DaemonSet'))
      t.equal(podSpec(object).automountServiceAccountToken, false);
  }
});

void t.test('the overlays keep what they do not change', { skip }, async (t) => {
  const names = (objects: readonly Manifest[]): readonly string[] =>
    objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  const base = names(await render('base'));
  t.strictSame(names(await render('overlays/hardened')), base);
  const old = names(await render('overlays/before-1.30'));
  t.strictSame(
    old,
    base.filter((name) => !name.startsWith('ValidatingAdmissionPolicy')),
  );
  const prometheus = names(await render('overlays/prometheus-operator'));
  t.strictSame(
    base.filter((name) => !prometheus.includes(name)),
    [],
  );
});
