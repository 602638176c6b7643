import { readFile } from 'node:fs/promises';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { connectCluster } from '../../agent/cluster/connect.ts';
import { field, text } from '../../agent/cluster/objects.ts';
import { type Admin, namespace, realPrograms, startApi, until } from './support/api.ts';
import { hastyClock } from './support/clock.ts';
import { factsOf } from './support/facts.ts';

const account = `/api/v1/namespaces/${namespace}/serviceaccounts`;
const policies = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlpolicies';
const statuses = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlstatuses';

/** Where objects of a kind are created. */
const places: Readonly<Record<string, (namespace: string) => string>> = {
  ServiceAccount: (of) => `/api/v1/namespaces/${of}/serviceaccounts`,
  ClusterRole: () => '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: () => '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  Role: (of) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${of}/roles`,
  RoleBinding: (of) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${of}/rolebindings`,
  ValidatingAdmissionPolicy: () => '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: () =>
    '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
};

async function install(admin: Admin, file: string): Promise<void> {
  const body = await readFile(new URL(`../../manifests/${file}`, import.meta.url), 'utf8');
  for (const document of parseAllDocuments(body)) {
    const object: unknown = document.toJS();
    const place = places[text(object, 'kind') ?? ''];
    if (place === undefined || typeof object !== 'object' || object === null) continue;
    await admin.create(place(text(field(object, 'metadata'), 'namespace') ?? namespace), object);
  }
}

const skip = realPrograms() === undefined ? 'needs a real API server: set KUBE_APISERVER and ETCD' : false;

void t.test(
  'with the rights of manifests/base an agent can do its work, for its own node alone',
  { skip },
  async (t) => {
    const api = await startApi();
    const { admin } = api;
    for (const file of ['parts/agent/service-account.yaml', 'base/rbac.yaml', 'base/own-node-only.yaml'])
      await install(admin, file);
    for (const name of ['mine', 'theirs']) {
      const taints = [{ key: 'sysctl-agent.dev/not-ready', effect: 'NoSchedule' }];
      await admin.create('/api/v1/nodes', {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name },
        spec: { taints },
      });
    }
    const pod = await admin.create(`/api/v1/namespaces/${namespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'agent', namespace },
      spec: {
        serviceAccountName: 'kubelet-sysctl-agent',
        nodeName: 'mine',
        containers: [{ name: 'agent', image: 'agent' }],
      },
    });
    const bound = await admin.create(`${account}/kubelet-sysctl-agent/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        boundObjectRef: {
          kind: 'Pod',
          apiVersion: 'v1',
          name: 'agent',
          uid: text(field(pod, 'metadata'), 'uid'),
        },
      },
    });
    const token = text(field(bound, 'status'), 'token') ?? '';
    const { ca } = await api.target.credentials(false);
    const target = {
      ...api.target,
      credentials: async () => Promise.resolve({ token, ...(ca === undefined ? {} : { ca }) }),
    };
    // Admission policies come into force some seconds after they were created.
    const { connectApi } = await import('../../agent/cluster/api-client.ts');
    const client = connectApi({ target, clock: hastyClock(1), random: Math.random });
    const labelTheirs = async (): Promise<string> => {
      const body = { metadata: { labels: { 'sysctl-agent.dev/web': '0123456789' } } };
      const answer = await client.ask({
        method: 'PATCH',
        path: '/api/v1/nodes/theirs',
        body,
        patch: 'merge',
      });
      return answer.kind === 'refused' ? answer.message : 'done';
    };
    await until(async () => (await labelTheirs()).includes('the node of its own pod only'));

    const problems: string[] = [];
    const connect = async (nodeName: string) => {
      const connection = await connectCluster({
        nodeName,
        agentVersion: '1',
        env: {},
        clock: hastyClock(),
        random: Math.random,
        log: (level, event, _fields, message) => {
          if (level !== 'info') problems.push(`${event}: ${message}`);
        },
        target,
        namespace,
      });
      if (connection === undefined) throw new Error('not connected');
      return connection;
    };
    const mine = await connect('mine');
    const spec = { kubelet: { allowedUnsafeSysctls: ['net.core.somaxconn'] } };
    await admin.create(policies, {
      apiVersion: 'sysctl-agent.dev/v1alpha1',
      kind: 'NodeSysctlPolicy',
      metadata: { name: 'web' },
      spec,
    });
    await until(() => mine.policies.selected().length === 1 && mine.pods.pods().kind === 'known');
    const request = {
      unit: 'kubelet.service',
      planHash: 'x',
      maxUnavailable: 2,
      maxFailed: 0,
      policies: ['web'],
    };
    t.equal((await mine.gate.acquire(request, new AbortController().signal)).kind, 'granted');
    const facts = factsOf({ policies: ['web'], policyHash: mine.policies.hash() });
    await mine.reporter.report(facts);
    await mine.gate.settle('rolledBack');
    await mine.gate.settle('committed');
    const last = {
      id: 't',
      startedAtMs: 0,
      endedAtMs: 1,
      verdict: 'committed',
      by: 'agent',
      code: undefined,
      message: '',
    } as const;
    await until(async () => JSON.stringify(await admin.get(statuses)).includes('"name":"mine"'));
    await mine.reporter.report({ ...facts, lastTransaction: last });
    await until(async () =>
      JSON.stringify(await admin.get('/api/v1/namespaces/default/events')).includes('SysctlsApplied'),
    );
    const node = JSON.stringify(await admin.get('/api/v1/nodes/mine'));
    t.match(node, /"sysctl-agent\.dev\/web":"[0-9a-f]{10}"/);
    t.notMatch(node, 'not-ready');
    t.strictSame(problems, [], 'nothing was refused');

    const stolen = await connect('theirs');
    await until(() => stolen.policies.selected().length === 1 && stolen.nodeLabels() !== undefined);
    const stop = new AbortController();
    const taking = stolen.gate.acquire(request, stop.signal);
    await stolen.reporter.report(factsOf({ policies: ['web'], policyHash: stolen.policies.hash() }));
    await until(() =>
      ['slot', 'statusRefused', 'labelsRefused'].every((event) =>
        problems.some((each) => each.startsWith(event)),
      ),
    );
    stop.abort(new Error('enough'));
    await t.rejects(taking);
    t.match(JSON.stringify(await admin.get('/api/v1/nodes/theirs')), /not-ready/);
    mine.close();
    stolen.close();
    client.close();
    await api.close();
  },
);
