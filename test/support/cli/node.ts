import type { ObservedNode } from '../../../agent/plan/observed.ts';
import type { Plan } from '../../../agent/plan/plan.ts';
import type { Journal } from '../../../agent/transaction/journal.ts';

/** A running node of which little is known. */
export const observedNode: ObservedNode = {
  mode: 'running',
  root: '/',
  unitName: 'kubelet.service',
  systemdVersion: 252,
  etcWritable: true,
  unit: undefined,
  unitFiles: [],
  unreadable: [],
  environmentFiles: [],
  kubeletConfig: undefined,
  kubeletConfigDropIns: [],
  process: undefined,
  kubeletVersion: 'v1.36.2',
  kernelRelease: '6.1.0',
  health: 'ok',
  healthz: { address: '127.0.0.1', port: 10248 },
  pods: { kind: 'unknown', reason: 'not asked' },
  sysctls: {},
  sysctlsVia: 'direct',
  sysctlFile: undefined,
  marks: {},
};

/** A plan that edits one file. */
export function planOf(): Plan {
  return {
    schema: 1,
    unit: 'kubelet.service',
    policies: ['web'],
    entries: {
      inForce: ['net.core.wmem_max', 'kernel.msg*'],
      after: ['net.core.wmem_max', 'net.core.somaxconn'],
      added: ['net.core.somaxconn'],
      kept: ['net.core.wmem_max'],
      removed: ['kernel.msg*'],
    },
    placement: {
      kind: 'Unit',
      path: '/etc/systemd/system/kubelet.service',
      why: "it is the admin's own file",
    },
    files: [
      {
        path: '/etc/systemd/system/kubelet.service',
        before: { sha256: 'aa', mode: 0o644, uid: 0, gid: 0, text: 'a\n' },
        after: 'b\n',
      },
    ],
    reload: false,
    restart: false,
    expectation: undefined,
    sysctlWrites: [],
    podsAtRisk: [],
    probationMs: 30_000,
    healthzRequired: true,
  };
}

/** A transaction that went well. */
export function committed(): Journal {
  return {
    schema: 1,
    id: 'T1',
    kind: 'apply',
    undoes: undefined,
    planHash: 'x',
    state: 'committed',
    startedAtMs: 1_000,
    updatedAtMs: 2_000,
    bootId: 'b',
    requestedBy: 'alice',
    plan: planOf(),
    baseline: undefined,
    watchdogAfterMs: 1,
    verdict: { kind: 'committed', code: undefined, message: 'proven', by: 'agent', keptForeignFiles: [] },
  };
}
