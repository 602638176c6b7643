// The policies that hold an agent to its own node, on a real API server with tokens as the kubelet gets them.
import t from 'tap';
import { connectHttp } from '../../agent/cluster/http.ts';
import { startRealApiServer } from '../cluster/support/real.ts';
import { readManifests } from './support/documents.ts';

const { KUBE_APISERVER: apiServer, ETCD: etcd } = process.env;
const skip = apiServer === undefined || etcd === undefined ? 'needs KUBE_APISERVER and ETCD' : false;

const namespace = 'kubelet-sysctl-agent';
const paths: Readonly<Record<string, string>> = {
  CustomResourceDefinition: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
  Namespace: '/api/v1/namespaces',
  ServiceAccount: `/api/v1/namespaces/${namespace}/serviceaccounts`,
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/NAMESPACE/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/NAMESPACE/rolebindings',
  ValidatingAdmissionPolicy: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
};

const lease = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly body: Record<string, unknown>;
}

type Ask = (
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
  type?: string,
) => Promise<Answer>;

void t.test('an agent’s token on a real API server', { skip, timeout: 300_000 }, async (t) => {
  const server = await startRealApiServer(apiServer ?? '', etcd ?? '');
  t.teardown(server.close);
  const { ca, token: adminToken } = await server.target.credentials(false);
  const asking = (token: string): Ask => {
    const credentials = { token, ...(ca === undefined ? {} : { ca }) };
    const http = connectHttp(
      { ...server.target, credentials: async () => Promise.resolve(credentials) },
      'tests',
    );
    t.teardown(() => http.close());
    return async (method, path, body, type) => {
      const question = {
        method,
        path,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(type === undefined ? {} : { contentType: type }),
      };
      const answer = await http.ask(question, { deadlineMs: 30_000 });
      const parsed = JSON.parse(answer.body) as Record<string, unknown>;
      return {
        status: answer.status,
        message: typeof parsed['message'] === 'string' ? parsed['message'] : '',
        body: parsed,
      };
    };
  };
  const admin = asking(adminToken ?? '');
  const merge = 'application/merge-patch+json';

  for (const file of [
    'parts/namespace/namespace.yaml',
    'parts/agent/service-account.yaml',
    'parts/job/service-account.yaml',
    'parts/job/slots.yaml',
    'crds/nodesysctlpolicy.yaml',
    'crds/nodesysctlstatus.yaml',
    'base/rbac.yaml',
    'base/own-node-only.yaml',
    'components/delete-rejected-pods/rbac.yaml',
    'components/delete-rejected-pods/own-rejected-pods-only.yaml',
  ])
    for (const object of readManifests(file)) {
      const path = (paths[object.kind] ?? '').replace('NAMESPACE', object.metadata.namespace ?? '');
      const made = await admin('POST', `${path}?fieldValidation=Strict`, object);
      t.equal(made.status, 201, `${object.kind} ${object.metadata.name}: ${made.message}`);
    }
  for (const name of ['node-a', 'node-b'])
    await admin('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { pool: 'web' } },
      spec: {
        taints: [
          { key: 'x', value: 'y', effect: 'NoSchedule' },
          { key: 'sysctl-agent.dev/not-ready', effect: 'NoSchedule' },
        ],
      },
    });

  const tokensOf = (account: string): string =>
    `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const tokenOf = async (spec: object, account = 'kubelet-sysctl-agent'): Promise<string> => {
    const { body } = await admin('POST', tokensOf(account), {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec,
    });
    return (body['status'] as { token: string }).token;
  };
  const agentOn = async (node: string, account = 'kubelet-sysctl-agent'): Promise<Ask> => {
    const name = `${account}-${node}`;
    const spec = {
      nodeName: node,
      serviceAccountName: account,
      containers: [{ name: 'agent', image: 'agent' }],
    };
    const made = await admin('POST', `/api/v1/namespaces/${namespace}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec,
    });
    t.equal(made.status, 201, made.message);
    return asking(await tokenOf({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name } }, account));
  };
  const agent = await agentOn('node-a');
  const job = await agentOn('node-a', 'kubelet-sysctl-job');
  const unbound = asking(await tokenOf({}));

  const label = async (who: Ask, node: string, labels: object): Promise<Answer> =>
    who('PATCH', `/api/v1/nodes/${node}`, { metadata: { labels } }, merge);
  // The policies take a moment to come into force: until then this, which they forbid, would be allowed.
  while ((await label(agent, 'node-b', { 'sysctl-agent.dev/probe': 'x' })).status !== 403);
  while ((await agent('POST', `${lease}?dryRun=All`, slot('probe', 'node-b'))).status !== 403);

  void t.test('changes the policy’s labels and its taint on its own node, and nothing else', async (t) => {
    t.equal((await label(agent, 'node-a', { 'sysctl-agent.dev/web': 'abc' })).status, 200);
    t.equal((await label(agent, 'node-a', { 'sysctl-agent.dev/web': null })).status, 200);
    const other = await label(agent, 'node-b', { 'sysctl-agent.dev/web': 'abc' });
    t.equal(other.status, 403);
    t.match(other.message, 'this agent may change the node of its own pod only (node-a), not node-b');
    t.equal((await label(agent, 'node-a', { pool: 'db' })).status, 403);
    t.equal((await label(agent, 'node-a', { pool: null })).status, 403);
    t.equal((await label(agent, 'node-a', { more: 'x' })).status, 403);
    const patch = async (body: object): Promise<number> =>
      (await agent('PATCH', '/api/v1/nodes/node-a', body, merge)).status;
    t.equal(await patch({ metadata: { annotations: { a: 'b' } } }), 403);
    t.equal(await patch({ metadata: { finalizers: ['example.com/hang'] } }), 403);
    t.equal(await patch({ spec: { unschedulable: true } }), 403);
    t.equal(await patch({ spec: { taints: [] } }), 403, 'a foreign taint stays');
    t.equal(await patch({ spec: { taints: [{ key: 'x', value: 'z', effect: 'NoSchedule' }] } }), 403);
    t.equal(
      await patch({ spec: { taints: [{ key: 'x', value: 'y', effect: 'NoSchedule' }] } }),
      200,
      'its own goes',
    );
  });

  void t.test('holds slots for its own node only, and frees nobody else’s', async (t) => {
    t.equal((await agent('POST', lease, slot('slot.web.0', 'node-a'))).status, 201);
    t.equal((await agent('POST', lease, slot('slot.web.1', 'node-b'))).status, 403);
    const hand = await agent('PATCH', `${lease}/slot.web.0`, { spec: { holderIdentity: 'node-b' } }, merge);
    t.equal(hand.status, 403);
    t.equal((await agent('DELETE', `${lease}/slot.web.0`)).status, 200);
    t.equal((await admin('POST', lease, slot('slot.web.2', 'node-b'))).status, 201);
    t.equal((await agent('DELETE', `${lease}/slot.web.2`)).status, 403);
    t.equal(
      (await agent('PATCH', `${lease}/slot.web.2`, { metadata: { annotations: { a: 'b' } } }, merge)).status,
      403,
    );
    const over = await agent('PATCH', `${lease}/slot.web.2`, { spec: { holderIdentity: 'node-a' } }, merge);
    t.equal(over.status, 200, 'one whose node is gone can be taken over, under its own name');
  });

  void t.test('a Job holds slots for its own node only, and may do nothing else', async (t) => {
    t.equal((await job('GET', '/api/v1/nodes/node-a')).status, 200);
    t.equal((await job('POST', lease, slot('slot.job.0', 'node-b'))).status, 403);
    t.equal((await job('POST', lease, slot('slot.job.0', 'node-a'))).status, 201);
    t.equal((await job('DELETE', `${lease}/slot.job.0`)).status, 200);
    t.equal((await label(job, 'node-a', { 'sysctl-agent.dev/web': 'abc' })).status, 403);
    t.equal((await job('GET', '/api/v1/pods')).status, 403);
    t.equal((await job('GET', `/api/v1/namespaces/${namespace}/secrets`)).status, 403);
  });

  void t.test('writes the status of its own node only, by apply as it does', async (t) => {
    const statuses = '/apis/sysctl-agent.dev/v1alpha1/nodesysctlstatuses';
    while ((await admin('GET', statuses)).status !== 200);
    const apply = async (who: Ask, name: string): Promise<Answer> =>
      who(
        'PATCH',
        `${statuses}/${name}?fieldManager=agent`,
        { apiVersion: 'sysctl-agent.dev/v1alpha1', kind: 'NodeSysctlStatus', metadata: { name } },
        'application/apply-patch+yaml',
      );
    const own = await apply(agent, 'node-a');
    t.equal(own.status, 201, own.message);
    const other = await apply(agent, 'node-b');
    t.equal(other.status, 403);
    t.match(
      other.message,
      'this agent may write the status of the node of its own pod only (node-a), not node-b',
    );
    t.equal((await apply(unbound, 'node-a')).status, 403);
    t.equal((await agent('DELETE', `${statuses}/node-a`)).status, 403);
  });

  void t.test('deletes only pods of its own node that were rejected for a sysctl', async (t) => {
    const pods = '/api/v1/namespaces/default/pods';
    await admin('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
    const rejected = async (name: string, nodeName: string, reason: string): Promise<number> => {
      await admin('POST', pods, {
        metadata: { name },
        spec: { nodeName, containers: [{ name: 'c', image: 'c' }] },
      });
      const failed = await admin(
        'PATCH',
        `${pods}/${name}/status`,
        { status: { phase: 'Failed', reason } },
        merge,
      );
      t.equal(failed.status, 200, failed.message);
      return (await agent('DELETE', `${pods}/${name}?gracePeriodSeconds=0`)).status;
    };
    t.equal(await rejected('other-node', 'node-b', 'SysctlForbidden'), 403);
    t.equal(await rejected('other-reason', 'node-a', 'Evicted'), 403);
    t.equal(await rejected('ours', 'node-a', 'SysctlForbidden'), 200);
  });

  void t.test('a token that is bound to no pod changes nothing', async (t) => {
    t.equal((await label(unbound, 'node-a', { 'sysctl-agent.dev/web': 'x' })).status, 403);
    t.equal((await unbound('POST', lease, slot('slot.web.9', 'node-a'))).status, 403);
  });

  void t.test('reaches nothing that it does not need', async (t) => {
    const forbidden: readonly (readonly ['GET' | 'POST' | 'DELETE' | 'PATCH', string])[] = [
      ['GET', '/api/v1/secrets'],
      ['GET', `/api/v1/namespaces/${namespace}/secrets`],
      ['GET', '/api/v1/configmaps'],
      ['DELETE', '/api/v1/nodes/node-a'],
      ['PATCH', '/api/v1/nodes/node-a/status'],
      ['GET', '/api/v1/nodes/node-a/proxy/pods'],
      ['POST', `/api/v1/namespaces/${namespace}/pods`],
      ['POST', tokensOf('kubelet-sysctl-agent')],
      ['POST', '/apis/sysctl-agent.dev/v1alpha1/nodesysctlpolicies'],
      ['GET', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'],
      ['POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'],
    ];
    for (const [method, path] of forbidden)
      t.equal(
        (await agent(method, path, method === 'GET' ? undefined : {}, method === 'PATCH' ? merge : undefined))
          .status,
        403,
        `${method} ${path}`,
      );
  });
});

function slot(name: string, holder: string): object {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace },
    spec: { holderIdentity: holder },
  };
}
