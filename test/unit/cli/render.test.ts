import t from 'tap';
import type { Explained } from '../../../agent/cli/explain.ts';
import { blindSpots, driftItems, shownLayers } from '../../../agent/cli/layers.ts';
import { renderExplanations } from '../../../agent/cli/render-explain.ts';
import { renderApplied, renderRolledBack } from '../../../agent/cli/render-outcome.ts';
import { renderPlan } from '../../../agent/cli/render-plan.ts';
import { renderStatus, type StatusView } from '../../../agent/cli/render-status.ts';
import type { Problem } from '../../../agent/errors.ts';
import { explainSysctl } from '../../../agent/kubelet/explain.ts';
import { parseKubeletVersion } from '../../../agent/kubelet/version.ts';
import type { NodeDrift } from '../../../agent/plan/drift.ts';
import type { Plan } from '../../../agent/plan/plan.ts';
import { committed, observedNode, planOf } from '../../support/cli/node.ts';

const page = { width: 80, colour: false };
const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
const failure: Problem = {
  code: 'KUBELET_EXITED',
  message: 'the kubelet exited with code 1',
  next: 'look at its log',
};

void t.test('a plan for a running node says what happens to it', (t) => {
  const plan: Plan = {
    ...planOf(),
    reload: true,
    restart: true,
    sysctlWrites: [{ name: 'vm.max_map_count', before: '65530', value: '262144' }],
    podsAtRisk: [{ namespace: 'web', name: 'front-1', sysctls: ['kernel.msgmax'] }],
  };
  const lines = renderPlan(
    {
      nodeName: 'node-a',
      planned: {
        observed: observedNode,
        outcome: {
          kind: 'change',
          plan,
          notes: {
            warnings: [{ code: 'KUBELET_NOT_FOUND', message: 'unknown version' }],
            hints: ['net.ipv4.tcp_syncookies is a safe sysctl', 'net.ipv4.tcp_syncookies is a safe sysctl'],
            sysctls: [
              { name: 'vm.swappiness', expected: '10', found: '60', state: 'drifted', remediation: 'Report' },
              {
                name: 'net.core.somaxconn',
                expected: '>= 1024',
                found: '4096',
                state: 'met',
                remediation: 'Report',
              },
              {
                name: 'kernel.pid_max',
                expected: '1',
                found: undefined,
                state: 'unknown',
                remediation: 'Write',
                reason: 'absent',
              },
            ],
          },
        },
      },
      policies: ['web'],
      others: ['db'],
      obstacles: [{ code: 'PLAN_LATCHED', message: 'tried before' }],
    },
    page,
  );
  t.equal(
    text(lines),
    `node       node-a (kubelet v1.36.2, systemd 252, kernel 6.1.0)
unit       kubelet.service
policy     web
           db (for other nodes)
placement  Unit, in /etc/systemd/system/kubelet.service
           because it is the admin's own file

allowed unsafe sysctls
    net.core.wmem_max
  - kernel.msg*
  + net.core.somaxconn

sysctls of the node
  + vm.max_map_count  65530 becomes 262144
  ! vm.swappiness  is 60, must be 10 (reported, not written)
    net.core.somaxconn  is 4096, as wanted
  ? kernel.pid_max  is unknown: absent; must be 1

running pods that the kubelet would kill
  ! web/front-1 uses kernel.msgmax

warning  PLAN_LATCHED
  tried before
warning  KUBELET_NOT_FOUND
  unknown version

hint  net.ipv4.tcp_syncookies is a safe sysctl

--- a/etc/systemd/system/kubelet.service
+++ b/etc/systemd/system/kubelet.service
@@ -1 +1 @@
-a
+b

reload     yes, of all units of the node
restart    yes, once; then the kubelet has to prove itself for 30 s
There are changes; apply carries them out.
`,
  );
  t.end();
});

void t.test('an apply ends in one plain sentence, and in what to do where it failed', (t) => {
  const journal = committed();
  const recovered = { kind: 'nothing' } as const;
  const planned = {
    observed: observedNode,
    outcome: { kind: 'change', plan: planOf(), notes: { warnings: [], hints: [], sysctls: [] } },
  } as const;
  t.equal(
    text(renderApplied({ kind: 'committed', planned, journal, recovered }, page)),
    `Applied: the kubelet now allows net.core.somaxconn; the kubelet no longer has
the entries kernel.msg*. Transaction T1 is committed.
`,
  );
  t.equal(
    text(
      renderApplied(
        {
          kind: 'refused',
          planned,
          problems: [failure],
          recovered: { kind: 'rolledBack', journal, problem: failure },
        },
        page,
      ),
    ),
    `note  transaction T1 had been interrupted; it was rolled back first
refused  KUBELET_EXITED
  the kubelet exited with code 1
  next: look at its log
Nothing was touched.
`,
  );
  const reverted = {
    ...journal,
    verdict: {
      kind: 'rolledBack',
      code: 'KUBELET_EXITED',
      message: '',
      by: 'watchdog',
      keptForeignFiles: ['/x.found'],
    },
  } as const;
  t.equal(
    text(
      renderApplied({ kind: 'rolledBack', planned, journal: reverted, problem: failure, recovered }, page),
    ),
    `error  KUBELET_EXITED
  the kubelet exited with code 1
  next: look at its log
Rolled back by the host's watchdog: the node is as it was before transaction T1.
note  somebody else's edit of a file was kept as /x.found
`,
  );
  t.equal(
    text(renderApplied({ kind: 'broken', journal, problem: failure, recovered }, page)),
    `error  KUBELET_EXITED
  the kubelet exited with code 1
  next: look at its log
This node needs a person: the roll-back itself failed.
  next: look at \`systemctl status kubelet.service\`; the files as they were
        before are in /var/lib/kubelet-sysctl-agent/backup/T1. When the kubelet
        runs, \`kubelet-sysctl-agent rollback\` closes the transaction.
`,
  );
  t.end();
});

void t.test('a rollback that failed says which command the kubelet runs with', (t) => {
  t.match(
    text(renderRolledBack({ kind: 'rolledBack', journal: committed(), problem: failure }, page)),
    'the newer one was put back',
  );
  t.equal(
    text(
      renderRolledBack({ kind: 'committed', journal: { ...committed(), undoes: 'T0' }, warnings: [] }, page),
    ),
    'Rolled back: what T0 had replaced is back.\n',
  );
  t.end();
});

const drift: NodeDrift = {
  layers: [
    {
      layer: 'disk',
      kind: 'known',
      entries: ['net.core.somaxconn', 'kernel.msg*'],
      holder: undefined,
      missing: [],
      extra: [],
    },
    {
      layer: 'loaded',
      kind: 'known',
      entries: ['net.core.somaxconn'],
      holder: undefined,
      missing: [],
      extra: [],
    },
    {
      layer: 'process',
      kind: 'known',
      entries: [],
      holder: undefined,
      missing: ['net.core.somaxconn'],
      extra: [],
    },
    { layer: 'configz', kind: 'unknown', reason: 'not asked', missing: [], extra: [] },
  ],
  needsReload: true,
  sysctls: [
    {
      name: 'vm.swappiness',
      expected: '10',
      found: '60',
      state: 'drifted',
      remediation: 'Report',
      source: { path: '/etc/sysctl.d/90-x.conf', line: 3, value: '60' },
      setBy: 'file',
    },
  ],
};

function viewOf(seen: NodeDrift): StatusView {
  const layers = shownLayers(seen, 'running');
  return {
    nodeName: 'node-a',
    observed: observedNode,
    policies: ['web'],
    layers,
    items: driftItems(seen, layers),
    blind: blindSpots(seen, layers, undefined),
    sysctls: seen.sysctls,
    state: {
      open: undefined,
      token: 'none',
      history: [committed()],
      latch: { planHash: 'x', code: 'KUBELET_EXITED', message: 'exited', sinceMs: 0, transaction: 'T0' },
      problems: [],
    },
    watchdogArmed: true,
  };
}

void t.test(
  'status shows each entry in each layer, where a value comes from, and ends with the drift',
  (t) => {
    t.equal(
      text(renderStatus(viewOf(drift), page)),
      `node       node-a
unit       kubelet.service: not found
kubelet    v1.36.2, healthz ok
policy     web

allowed unsafe sysctls  disk     loaded   process
  net.core.somaxconn    yes      yes      no
  kernel.msg*           yes      no       no

sysctls of the node
  ! vm.swappiness  is 60, must be 10 (reported, not written)
        /etc/sysctl.d/90-x.conf line 3 sets 60 at boot

transactions
  1970-01-01 00:00:02Z apply committed +net.core.somaxconn -kernel.msg* by alice
  watchdog armed
  ! latched since 1970-01-01 00:00:00Z: the change of T0 is not tried again
    (KUBELET_EXITED: exited)

There is drift.
  ! kernel.msg* is known elsewhere, but not in what systemd has loaded and the
    running kubelet
  ! net.core.somaxconn is missing in the running kubelet
  ! a file of the unit was changed and systemd has not read it yet
    (daemon-reload)
  ! vm.swappiness is 60, must be 10
`,
    );
    t.end();
  },
);

void t.test('a long entry keeps its distance from the columns', (t) => {
  const entry = 'net.ipv6.conf.all.forwarding';
  const layers = [
    { layer: 'disk', kind: 'known', entries: [entry], holder: undefined, missing: [], extra: [] },
  ] as const;
  t.match(
    text(renderStatus(viewOf({ ...drift, layers }), page)),
    `
allowed unsafe sysctls          disk
  net.ipv6.conf.all.forwarding  yes
`,
  );
  t.end();
});

void t.test('what cannot be seen is never said to be without drift', (t) => {
  const blind: NodeDrift = {
    layers: [
      { layer: 'disk', kind: 'known', entries: [], holder: undefined, missing: [], extra: [] },
      { layer: 'process', kind: 'unknown', reason: 'no kubelet is running', missing: [], extra: [] },
    ],
    needsReload: false,
    sysctls: [],
  };
  const shown = text(renderStatus(viewOf(blind), page));
  t.match(shown, 'It cannot be told whether there is drift.\n  ? process: no kubelet is running\n');
  t.notMatch(shown, 'No drift');
  t.end();
});

void t.test('explain tells what a pod may do with a sysctl and what it would find', (t) => {
  const explained = (name: string, rest: Partial<Explained>): Explained => ({
    explanation: explainSysctl(name, parseKubeletVersion('v1.36.2'), { major: 6, minor: 1 }),
    now: undefined,
    fresh: { kind: 'unknown', reason: 'no root' },
    allowedBy: undefined,
    ...rest,
  });
  t.equal(
    text(
      renderExplanations(
        {
          kubeletVersion: 'v1.36.2',
          kernelRelease: '6.1.0',
          noNode: undefined,
          sysctls: [
            explained('net.core.somaxconn', {
              now: { kind: 'value', value: '512' },
              fresh: { kind: 'value', value: '4096', writable: true },
              allowedBy: ['net.core.*'],
            }),
            explained('net.ipv4.tcp_rmem', {
              fresh: { kind: 'value', value: '4096\t131072\t6291456', writable: true },
            }),
            explained('vm.max_map_count', { now: { kind: 'unreadable', reason: 'denied' } }),
            explained('net.core.rmem_max', {
              fresh: { kind: 'value', value: '212992', writable: false },
              allowedBy: [],
            }),
          ],
        },
        page,
      ),
    ),
    `net.core.somaxconn
  namespace   network: each pod has its own (not with hostNetwork)
  kubelet     unsafe: needs the entry net.core.somaxconn (kubelet v1.36.2)
  safe since  no version
  runtime     runc sets it in a pod with its own namespaces
  allowed now yes, by net.core.*
  node now    512
  fresh pod   4096: the kernel's default, whatever the node has

net.ipv4.tcp_rmem
  namespace   network: each pod has its own (not with hostNetwork)
  kubelet     safe: pods may set it without an entry (kubelet v1.36.2)
  safe since  kubelet 1.32, with kernel 4.15 or later
  runtime     runc sets it in a pod with its own namespaces
  fresh pod   4096 131072 6291456: copied from the node's when the pod starts

vm.max_map_count
  namespace   none: one value for the whole node
  kubelet     no entry lets pods set it (kubelet v1.36.2): set it on the node,
              under sysctls
  safe since  no version
  runtime     runc refuses it: the container would not be created
  node now    unknown: denied
  fresh pod   the node's own value (not looked at: no root)

net.core.rmem_max
  namespace   none: one value for the whole node
  kubelet     unsafe: needs the entry net.core.rmem_max (kubelet v1.36.2); yet
              the kernel has one value for the whole node
  safe since  no version
  runtime     runc sets it in a pod with its own namespaces
  allowed now no: the running kubelet has no entry for it
  fresh pod   212992: the node's own value, which cannot be set there
`,
  );
  t.end();
});
