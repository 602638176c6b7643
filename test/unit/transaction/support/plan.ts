import type { Plan } from '../../../../agent/plan/plan.ts';
import type { Journal } from '../../../../agent/transaction/journal.ts';

const command = { path: '/usr/bin/kubelet', argv: ['/usr/bin/kubelet'], flags: [] };

/** A plan that edits one unit in place; what is given replaces its fields. */
export function planOf(fields: Partial<Plan> = {}): Plan {
  const path = '/etc/systemd/system/kubelet.service';
  return {
    schema: 1,
    unit: 'kubelet.service',
    policies: ['test'],
    entries: {
      inForce: [],
      after: ['net.core.somaxconn'],
      added: ['net.core.somaxconn'],
      kept: [],
      removed: [],
    },
    placement: { kind: 'Unit', path, why: 'a test' },
    files: [{ path, before: { sha256: 'x', mode: 0o644, uid: 0, gid: 0, text: 'old\n' }, after: 'new\n' }],
    reload: true,
    restart: true,
    expectation: {
      commandBefore: command,
      commandAfter: command,
      dropInPathsAfter: [],
      settings: {},
      entries: [],
    },
    sysctlWrites: [],
    podsAtRisk: [],
    probationMs: 30_000,
    healthzRequired: true,
    ...fields,
  };
}

/** The journal of a transaction that was just staged. */
export function journalOf(fields: Partial<Journal> = {}): Journal {
  return {
    schema: 1,
    id: '20260101T000000000Z-abcdef01',
    kind: 'apply',
    undoes: undefined,
    planHash: 'abcdef0123456789',
    state: 'staged',
    startedAtMs: 1_767_225_600_000,
    updatedAtMs: 1_767_225_600_000,
    bootId: 'boot-1',
    requestedBy: 'a test',
    plan: planOf(),
    baseline: { mainPid: 100, invocationId: 'b0' },
    watchdogAfterMs: 200_000,
    verdict: undefined,
    ...fields,
  };
}
