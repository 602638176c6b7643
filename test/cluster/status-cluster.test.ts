import t from 'tap';
import type { FleetConnection } from '../../agent/cluster/connect-fleet.ts';
import type { Fleet, FleetNode } from '../../agent/cluster/fleet.ts';
import { nodeStatusOf, type StatusContext } from '../../agent/cluster/node-status.ts';
import type { SlotLease } from '../../agent/cluster/slot-lease.ts';
import { renderCluster } from '../../agent/cli/render-cluster.ts';
import { run } from '../support/cli/context.ts';
import { driftWith, factsOf } from './support/facts.ts';

const now = Date.UTC(2026, 0, 2, 3, 4, 5);
const context: StatusContext = {
  agentVersion: '1',
  slot: { kind: 'none' },
  forbidden: [],
  generations: {},
  before: [],
};

const node = (
  name: string,
  over: Partial<Parameters<typeof factsOf>[0]> = {},
  seen: Partial<StatusContext> = {},
): FleetNode => ({
  name,
  status: nodeStatusOf(factsOf({ policies: ['web'], observedAtMs: now - 12_000, ...over }), {
    ...context,
    ...seen,
  }),
});

const slot = (index: number, holder: string, failure?: string): SlotLease => ({
  policy: 'web',
  index,
  holder,
  failure,
  name: `slot.web.${index}`,
  uid: 'u',
  resourceVersion: '1',
  since: '2026-01-02T03:03:00.000000Z',
  nodeUid: undefined,
});

const last = { id: 't', startedAtMs: 0, endedAtMs: 1, by: 'agent' } as const;
const fleet: Fleet = {
  nodes: [
    node('node-1', { lastTransaction: { ...last, verdict: 'committed', code: undefined, message: '' } }),
    node('node-2', { state: 'applying', drift: driftWith({ entries: [], missing: ['net.core.somaxconn'] }) }),
    node('node-3', {
      state: 'latched',
      lastTransaction: {
        ...last,
        verdict: 'rolledBack',
        code: 'KUBELET_EXITED',
        message: 'the kubelet exited with status 1',
      },
    }),
    node(
      'node-4',
      { state: 'halted', drift: driftWith({ entries: [] }) },
      {
        slot: { kind: 'halted', policy: 'web', by: ['node-3'] },
        forbidden: [{ namespace: 'shop', sysctl: 'net.core.somaxconn', pods: 4 }],
      },
    ),
    { name: 'node-5', status: undefined },
  ],
  slots: [slot(0, 'node-2'), slot(1, 'node-3', 'rolledBack')],
};

void t.test('the fleet at a glance: rows, who is at risk, who failed, what pods lack, how far it is', (t) => {
  t.strictSame(renderCluster(fleet, { width: 80, colour: false }, now), [
    'NODE    POLICY  STATE      DRIFT  LAST        REPORTED',
    'node-1  web     converged  0      committed   12 s',
    'node-2  web     applying   3      -           12 s',
    'node-3  web     latched    0      rolledBack  12 s',
    'node-4  web     halted     0      -           12 s',
    'node-5          unknown',
    '',
    '  > node-2 has been at risk for policy web for 1 min 5 s',
    '  ! node-3 failed (rolledBack) and has kept its slot of policy web for 1 min 5',
    '    s: KUBELET_EXITED, the kubelet exited with status 1',
    '  ! 1 node waits for that to be put right',
    '  ! 4 pods of namespace shop rejected: no entry allows net.core.somaxconn on 1',
    '    node',
    '████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  1 of 5 nodes converged',
    '1 applying, 1 converged, 1 halted, 1 latched, 1 unknown; 1 with drift',
  ]);
  t.end();
});

void t.test('a failure is told also where node sysctls were put right since', (t) => {
  const failed = node('node-1', {
    state: 'latched',
    lastTransaction: { ...last, verdict: 'committed', code: undefined, message: 'proven and committed' },
    latch: { transaction: 'T1', sinceMs: 0, code: 'KUBELET_EXITED', message: 'it exited' },
  });
  const lines = renderCluster(
    { nodes: [failed], slots: [slot(0, 'node-1', 'rolledBack')] },
    { width: 200, colour: false },
    now,
  );
  t.ok(
    lines.some((line) => line.endsWith('for 1 min 5 s: KUBELET_EXITED, it exited')),
    lines.join('\n'),
  );
  t.end();
});

void t.test('no line is wider than the page, whatever the names', (t) => {
  const long = {
    nodes: [node(`ip-${'1'.repeat(80)}.example`, { policies: ['a'.repeat(60), 'b'] })],
    slots: [],
  };
  const [, row = ''] = renderCluster(long, { width: 80, colour: false }, now);
  t.ok(row.length <= 80, row);
  t.match(row, /^ip-1+…1*\.example/);
  t.end();
});

void t.test('the bar is full only when all are done', (t) => {
  const nodes = Array.from({ length: 1_000 }, (_, at) =>
    node(`n${at}`, at === 0 ? { state: 'drifted' } : {}),
  );
  const lines = renderCluster({ nodes, slots: [] }, { width: 80, colour: false }, now);
  t.ok(lines.some((line) => line.endsWith('░  999 of 1000 nodes converged')));
  t.end();
});

const connected = (seen: Fleet): { connectFleet: () => Promise<FleetConnection> } => ({
  connectFleet: async () =>
    Promise.resolve({
      read: async () => Promise.resolve(seen),
      follow: () => ({ close: () => undefined }),
      close: () => undefined,
    }),
});

void t.test('the exit code is 0 for a converged fleet, 2 for any other', async (t) => {
  t.equal((await run(['status', '--cluster'], connected(fleet))).code, 2);
  t.equal((await run(['status', '--cluster'], connected({ nodes: [node('a')], slots: [] }))).code, 0);
  t.equal((await run(['status', '--cluster'], connected({ nodes: [], slots: [] }))).code, 2);
});

void t.test('--output json holds every status and every slot', async (t) => {
  const { stdout } = await run(['status', '--cluster', '--output', 'json'], connected(fleet));
  t.match(JSON.parse(stdout), {
    schema: 'sysctl-agent.dev/fleet/v1',
    outcome: 'drifted',
    exitCode: 2,
    summary: {
      nodes: 5,
      converged: 1,
      drifted: 1,
      states: { converged: 1, applying: 1, latched: 1, halted: 1, unknown: 1 },
    },
    nodes: [
      { name: 'node-1', status: { state: 'converged', lastTransaction: { verdict: 'committed' } } },
      { name: 'node-2', status: { lastTransaction: null } },
      {},
      {},
      { name: 'node-5', status: null },
    ],
    slots: [
      { holder: 'node-2', failure: null },
      { holder: 'node-3', failure: 'rolledBack' },
    ],
  });
});

void t.test('an API server that cannot be had is a refusal with its code', async (t) => {
  const { code, stderr } = await run(['status', '--cluster']);
  t.equal(code, 3);
  t.match(stderr, /API_UNREACHABLE/);
});
