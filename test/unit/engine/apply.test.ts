import t, { type Test } from 'tap';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import type { ApplyOutcome } from '../../../agent/engine/apply.ts';
import { AgentError } from '../../../agent/errors.ts';
import type { NodePolicy } from '../../../agent/policy/merge.ts';
import type { ApplyStep } from '../../../agent/transaction/steps.ts';
import {
  type FakeNode,
  fakeNode,
  fakeNodeUnavailable,
  flag,
  unitFile,
  unitText,
  unitTextAfter,
} from '../../support/host/fake-node.ts';
import type { Behaviour, Verb } from '../../support/host/fake-systemd.ts';
import { apply, codeOf, completed, policy, undo } from './support.ts';

const tier = { skip: fakeNodeUnavailable };
const unitSteps: readonly ApplyStep[] = [
  'stage',
  'arm',
  'writeFiles',
  'reload',
  'prove',
  'restart',
  'observe',
  'commit',
];
const withFlag =
  (behaviour: Behaviour) =>
  (argv: readonly string[]): Behaviour =>
    argv.includes(flag) ? behaviour : {};
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The node is as it was: the file, the process, what systemd has loaded, and nothing lies about. */
async function asBefore(t: Test, node: FakeNode, text = unitText): Promise<void> {
  t.equal(node.read(unitFile), text);
  t.notOk(
    (await node.argv()).some((word) => word.includes('sysctls')),
    'the kubelet has its old command line',
  );
  const unit = await node.systemd.observe('kubelet.service');
  t.equal(unit.activeState, 'active');
  t.equal(unit.needDaemonReload, false);
  t.notOk(unit.execStart[0]?.argv.includes(flag));
  t.strictSame(node.litter(), []);
}

void t.test(
  'an apply takes its steps in order and leaves the new unit, the new kubelet and nothing else',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const before = await node.systemd.pulse('kubelet.service');
    const outcome = await apply(node);
    t.equal(outcome.kind, 'committed');
    t.strictSame(completed(node), unitSteps);
    t.equal(node.read(unitFile), unitTextAfter);
    t.ok((await node.argv()).includes(flag));
    t.not((await node.systemd.pulse('kubelet.service')).mainPid, before.mainPid);
    t.strictSame(node.litter(), []);
    t.strictSame(
      node.systemd.calls.filter((call) => !call.startsWith('stop ')),
      [
        'start kubelet-sysctl-agent-watchdog.timer',
        'daemon-reload',
        'reset-failed kubelet.service',
        'restart kubelet.service',
      ],
    );
  },
);

void t.test(
  'the audit line says who asked, what changed by its hashes, and how it ended',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    await apply(node);
    const [line, ...more] = node.audit();
    t.strictSame(more, []);
    t.match(line, {
      kind: 'apply',
      requestedBy: 'alice',
      unit: 'kubelet.service',
      added: ['net.core.somaxconn'],
      removed: [],
      files: [{ path: unitFile, before: sha256(unitText), after: sha256(unitTextAfter) }],
      verdict: 'committed',
      by: 'agent',
      message: 'proven and committed',
    });
    t.match(line?.at, /^\d{4}-\d\d-\d\dT/);
  },
);

void t.test('a second apply finds nothing to do and touches nothing', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  const calls = [...node.systemd.calls];
  const again = await apply(node);
  t.equal(again.kind, 'converged');
  t.strictSame(node.systemd.calls, calls);
  t.equal(node.audit().length, 1);
});

void t.test(
  'a kubelet that was started a moment ago is not restarted within its start limit',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    node.systemd.settings({ startLimitIntervalMs: 4 * 3_600_000 });
    const waited = await apply(node);
    t.equal(waited.kind, 'committed');
    t.match(
      node.events.filter((event) => event.kind === 'waiting'),
      [{ forMs: 600_000 }],
      'and the wait has an end',
    );
  },
);

const sayNo = (
  verb: Verb,
  code: 'SYSTEMD_CALL_FAILED' | 'RELOAD_FAILED' | 'WATCHDOG_NOT_ARMED',
  node: FakeNode,
): void => {
  let said = false;
  node.systemd.intercept((asked) => {
    if (asked !== verb || said) return;
    said = true;
    throw new AgentError(code, `${verb} failed`);
  });
};

/** What goes wrong, where it is noticed, how it must end, and which steps of the way back were needed. */
const failures: readonly {
  readonly what: string;
  readonly break: (node: FakeNode) => void;
  readonly at?: { readonly point: string; readonly happens: (node: FakeNode) => void };
  readonly failed: string;
  readonly kind: ApplyOutcome['kind'];
  readonly latched: boolean;
  readonly calls: readonly string[];
}[] = [
  {
    what: 'the timer of the watchdog cannot be started',
    break: (node) => sayNo('startTimer', 'WATCHDOG_NOT_ARMED', node),
    failed: 'failed:arm:WATCHDOG_NOT_ARMED',
    kind: 'refused',
    latched: false,
    calls: [],
  },
  {
    what: 'systemd refuses to reload',
    break: (node) => sayNo('reload', 'RELOAD_FAILED', node),
    failed: 'failed:reload:RELOAD_FAILED',
    kind: 'rolledBack',
    latched: false,
    calls: ['daemon-reload'],
  },
  {
    what: 'somebody edited the unit after us',
    break: () => undefined,
    at: {
      point: 'before:reload',
      happens: (node) => node.write(unitFile, unitTextAfter.replace('Restart=always', 'Restart=no')),
    },
    failed: 'failed:prove:PROOF_FAILED',
    kind: 'rolledBack',
    latched: true,
    calls: ['daemon-reload', 'daemon-reload'],
  },
  {
    what: 'the kubelet exits at once; a job of Type=simple is done all the same',
    break: (node) => node.kubelet(withFlag({ exitsAfterMs: 0 })),
    failed: 'failed:observe:KUBELET_EXITED',
    kind: 'rolledBack',
    latched: true,
    calls: ['daemon-reload', 'restart', 'daemon-reload', 'restart'],
  },
  {
    what: 'the kubelet exits when it was well for most of its probation',
    break: (node) => node.kubelet(withFlag({ exitsAfterMs: 25_000 })),
    failed: 'failed:observe:KUBELET_EXITED',
    kind: 'rolledBack',
    latched: true,
    calls: ['daemon-reload', 'restart', 'daemon-reload', 'restart'],
  },
  {
    what: 'the kubelet answers that it is not well',
    break: (node) => node.kubelet(withFlag({ health: 'unhealthy' })),
    failed: 'failed:observe:KUBELET_NOT_ANSWERING',
    kind: 'rolledBack',
    latched: true,
    calls: ['daemon-reload', 'restart', 'daemon-reload', 'restart'],
  },
  {
    what: 'the kubelet answers nothing',
    break: (node) => node.kubelet(withFlag({ health: 'silent' })),
    failed: 'failed:observe:KUBELET_NOT_ANSWERING',
    kind: 'rolledBack',
    latched: true,
    calls: ['daemon-reload', 'restart', 'daemon-reload', 'restart'],
  },
  {
    what: 'one question to systemd is not answered',
    break: () => undefined,
    at: { point: 'before:observe', happens: (node) => sayNo('pulse', 'SYSTEMD_CALL_FAILED', node) },
    failed: 'failed:observe:SYSTEMD_CALL_FAILED',
    kind: 'rolledBack',
    latched: false,
    calls: ['daemon-reload', 'restart', 'daemon-reload', 'restart'],
  },
];

for (const { what, break: breakIt, at, failed, kind, latched, calls } of failures) {
  void t.test(`${what}: everything is put back`, tier, async (t) => {
    const node = await fakeNode(t);
    breakIt(node);
    const outcome = await apply(node, {
      report: node.report((point) => {
        if (point === at?.point) at.happens(node);
      }),
    });
    t.equal(outcome.kind, kind);
    t.strictSame(
      node.points.filter((point) => point.startsWith('failed:')),
      [failed],
    );
    t.equal(codeOf(outcome), failed.split(':')[2]);
    t.strictSame(
      node.points.slice(node.points.indexOf(failed) + 1).filter((point) => point.startsWith('after:')),
      [
        'after:claim',
        'after:restoreFiles',
        'after:restoreSysctls',
        'after:reloadOld',
        'after:proveOld',
        'after:restartOld',
        'after:observeOld',
      ],
    );
    t.strictSame(
      node.systemd.calls
        .map((call) => call.replace(' kubelet.service', ''))
        .filter((call) => call === 'daemon-reload' || call === 'restart'),
      calls,
    );
    await asBefore(t, node);
    t.equal((await node.host.state.readLatch()) !== undefined, latched);
    t.equal(node.audit().at(-1)?.verdict, 'rolledBack');
    t.equal(node.audit().at(-1)?.code, failed.split(':')[2]);
  });
}

void t.test(
  'the reason of a roll-back quotes what the failed kubelet said last, and no other',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const { invocationId: before } = await node.host.systemd.pulse('kubelet.service');
    node.kubelet(withFlag({ exitsAfterMs: 0 }));
    const outcome = await apply(node, {
      report: node.report((point) => {
        if (point !== 'after:observeOld') return;
        node.log.push(
          { invocationId: before, text: 'Error: the one before, on its way out' },
          { invocationId: 'failed', text: 'Error: unknown sysctl' },
          { invocationId: 'failed', text: 'I1123 12:58:15.1 7 server.go:1] "Bye"' },
          { invocationId: 'put back', text: 'Error: something that it always says' },
        );
      }),
    });
    t.match(outcome, {
      kind: 'rolledBack',
      problem: {
        code: 'KUBELET_EXITED',
        message: /; its last error: Error: unknown sysctl$/,
        next: /journalctl/,
      },
    });
    t.match(
      (await node.host.state.readJournal())?.verdict?.message,
      /its last error: Error: unknown sysctl$/,
    );
  },
);

void t.test(
  "with existing: Remove a list that the kubelet's file gives needs no flag, and an empty list an empty one",
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const config = '/var/lib/kubelet/config.yaml';
    node.write(config, 'kind: KubeletConfiguration\nallowedUnsafeSysctls: [kernel.msgmax]\n');
    t.equal((await apply(node)).kind, 'committed');
    const both = '--allowed-unsafe-sysctls=kernel.msgmax,net.core.somaxconn';
    t.ok((await node.argv()).includes(both));

    const exactly = (allowedUnsafeSysctls: readonly string[]): { readonly policy: NodePolicy } => ({
      policy: policy({ existing: 'Remove', allowedUnsafeSysctls }),
    });
    t.equal((await apply(node, exactly([]))).kind, 'committed');
    t.ok((await node.argv()).includes('--allowed-unsafe-sysctls='));
    t.equal((await apply(node, exactly(['kernel.msgmax']))).kind, 'committed');
    t.equal(node.read(unitFile), unitText);
    t.notMatch((await node.argv()).join(' '), 'allowed-unsafe-sysctls');
  },
);

void t.test('a change that failed is not tried again until a person says so', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet(withFlag({ exitsAfterMs: 0 }));
  await apply(node);
  const calls = node.systemd.calls.length;
  const again = await apply(node);
  t.equal(again.kind, 'refused');
  t.equal(codeOf(again), 'PLAN_LATCHED');
  t.equal(node.systemd.calls.length, calls, 'nothing was touched');
  t.equal(
    codeOf(await apply(node, { policy: policy({ allowedUnsafeSysctls: ['kernel.msgmax'] }) })),
    undefined,
    'another policy is another change',
  );
});

void t.test(
  'what nobody could see fail is tried twice, and then latched for the loop as well',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const blind = async (): Promise<string | undefined> => {
      const outcome = await apply(node, {
        report: node.report((point) => {
          if (point === 'before:observe')
            node.systemd.intercept((verb) => {
              if (verb === 'pulse') throw new AgentError('SYSTEMD_CALL_FAILED', 'the bus went away');
            });
          else node.systemd.intercept(() => undefined);
        }),
      });
      return codeOf(outcome);
    };
    t.equal(await blind(), 'SYSTEMD_CALL_FAILED');
    t.equal(await node.host.state.readLatch(), undefined, 'once may be chance');
    t.equal(await blind(), 'SYSTEMD_CALL_FAILED');
    const calls = node.systemd.calls.length;
    t.equal(await blind(), 'PLAN_LATCHED');
    t.equal(node.systemd.calls.length, calls, 'nothing was touched');
    t.equal((await node.host.state.readLatch())?.code, 'SYSTEMD_CALL_FAILED');
  },
);

void t.test(
  'a configuration that somebody edits after the plan is not brought into force by our restart',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const outcome = await apply(node, {
      report: node.report((point) => {
        if (point === 'before:restart') node.write('/var/lib/kubelet/config.yaml', 'torn: [');
      }),
    });
    t.equal(outcome.kind, 'rolledBack');
    t.equal(codeOf(outcome), 'FILE_CHANGED');
    t.equal(node.systemd.calls.filter((call) => call.startsWith('restart')).length, 0, 'no restart');
    t.equal(node.read(unitFile), unitText);
    t.equal(node.read('/var/lib/kubelet/config.yaml'), 'torn: [', 'their edit is theirs');
  },
);

void t.test('a directory made for our drop-in goes with it', tier, async (t) => {
  const vendor = '/usr/lib/systemd/system/kubelet.service';
  const dropIns = '/etc/systemd/system/kubelet.service.d';
  const node = await fakeNode(t);
  renameSync(`${node.root}${unitFile}`, `${node.root}/kubelet.service`);
  mkdirSync(`${node.root}/usr/lib/systemd/system`, { recursive: true });
  renameSync(`${node.root}/kubelet.service`, `${node.root}${vendor}`);
  await node.systemd.daemonReload();
  t.equal((await apply(node)).kind, 'committed');
  t.ok(existsSync(`${node.root}${dropIns}`));
  t.equal((await undo(node)).kind, 'committed');
  t.notOk(existsSync(`${node.root}${dropIns}`));

  mkdirSync(`${node.root}${dropIns}`);
  t.equal((await apply(node)).kind, 'committed');
  t.equal((await undo(node)).kind, 'committed');
  t.ok(existsSync(`${node.root}${dropIns}`), 'one that was there before stays');
});

void t.test('a person may try again, and success takes the latch away', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet(withFlag({ exitsAfterMs: 0 }));
  await apply(node);
  node.kubelet(() => ({}));
  const forced = await apply(node, { force: ['PLAN_LATCHED'] });
  t.equal(forced.kind, 'committed');
  t.equal(await node.host.state.readLatch(), undefined);
});

void t.test('a unit that never says that it is ready is rolled back, and latched', tier, async (t) => {
  for (const startTimeoutMs of [20_000, Number((2n ** 64n - 1n) / 1000n)]) {
    const node = await fakeNode(t, { unit: unitText.replace('[Service]\n', '[Service]\nType=notify\n') });
    node.systemd.settings({ startTimeoutMs });
    node.kubelet(withFlag({ neverReady: true }));
    const outcome = await apply(node);
    t.equal(outcome.kind, 'rolledBack');
    t.equal(codeOf(outcome), startTimeoutMs === 20_000 ? 'RESTART_FAILED' : 'RESTART_TIMED_OUT');
    await asBefore(t, node, unitText.replace('[Service]\n', '[Service]\nType=notify\n'));
    t.ok(await node.host.state.readLatch());
  }
});

for (const step of unitSteps) {
  void t.test(`a signal before ${step} leaves the node as it was, and latches nothing`, tier, async (t) => {
    const node = await fakeNode(t);
    const stop = new AbortController();
    const outcome = await apply(node, {
      signal: stop.signal,
      report: node.report((point) => {
        if (point === `before:${step}`) stop.abort(new Error('SIGINT'));
      }),
    });
    const touched = unitSteps.indexOf(step) > unitSteps.indexOf('writeFiles');
    t.equal(outcome.kind, touched ? 'rolledBack' : 'refused');
    t.equal(codeOf(outcome), 'INTERRUPTED');
    await asBefore(t, node);
    t.equal(await node.host.state.readLatch(), undefined);
    t.equal((await apply(node)).kind, 'committed', 'the next apply is free to try');
  });
}

for (const point of unitSteps
  .filter((step) => step !== 'stage' && step !== 'arm')
  .flatMap((step) => [`before:${step}`, `after:${step}`])) {
  if (point === 'after:commit') continue;
  void t.test(
    `an agent that was held up ${point} until the watchdog fired leaves the old kubelet alone`,
    tier,
    async (t) => {
      const node = await fakeNode(t);
      const outcome = await apply(node, {
        report: node.report(async (reached) => {
          if (reached === point) await node.clock.sleep(3_600_000);
        }),
      });
      t.match(outcome.kind, /^(rolledBack|refused)$/);
      t.equal(codeOf(outcome), 'WATCHDOG_FIRED');
      await asBefore(t, node);
    },
  );
}

void t.test(
  'an agent that is held up in the very middle of its write puts back what it wrote behind the watchdog',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    const { files } = node.host;
    let held = false;
    const late = {
      ...files,
      async replace(...[path, ...rest]: Parameters<typeof files.replace>) {
        if (path !== unitFile || held) return files.replace(path, ...rest);
        held = true;
        await node.clock.sleep(3_600_000);
        await files.replace(path, ...rest);
        // And somebody else's reload takes it in.
        return node.systemd.daemonReload();
      },
    };
    const outcome = await apply({ ...node, host: { ...node.host, files: late } });
    t.equal(outcome.kind, 'rolledBack');
    t.equal(codeOf(outcome), 'WATCHDOG_FIRED');
    await asBefore(t, node);
  },
);

void t.test('a report that throws stops nothing', tier, async (t) => {
  const node = await fakeNode(t);
  const deaf = async (): Promise<void> => Promise.reject(new Error('EPIPE'));
  t.equal((await apply(node, { report: deaf })).kind, 'committed');

  const other = await fakeNode(t);
  other.kubelet(withFlag({ exitsAfterMs: 0 }));
  t.equal((await apply(other, { report: deaf })).kind, 'rolledBack');
  await asBefore(t, other);
});

void t.test('a latch that cannot be written does not change what is said of the node', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet(withFlag({ exitsAfterMs: 0 }));
  const state = {
    ...node.host.state,
    writeLatch: async () => Promise.reject(new AgentError('FILE_WRITE_FAILED', 'ENOSPC')),
  };
  const outcome = await apply({ ...node, host: { ...node.host, state } });
  t.equal(outcome.kind, 'rolledBack');
  t.ok(node.events.some((event) => event.kind === 'auditFailed' && event.message.includes('ENOSPC')));
});

void t.test(
  'a kubelet that fails with its old command line as well is for a person; the old file is back all the same',
  tier,
  async (t) => {
    const node = await fakeNode(t);
    node.kubelet(() => ({ exitsAfterMs: 0 }));
    const outcome = await apply(node);
    t.equal(outcome.kind, 'broken');
    t.equal(codeOf(outcome), 'ROLLBACK_FAILED');
    t.match(outcome, { problem: { next: /^the old files are back; `journalctl --unit kubelet\.service` / } });
    t.equal(node.read(unitFile), unitText);
    t.equal((await node.host.state.readJournal())?.state, 'broken');
    const waits = node.events.flatMap((event) => (event.kind === 'waiting' ? [event.why] : []));
    t.match(waits.at(-1), /^at most, for the host's watchdog/, 'whoever watches is told why nothing happens');

    node.kubelet(() => ({}));
    const again = await apply(node);
    t.equal(again.recovered.kind, 'rolledBack', 'the next apply looks at it again first');
    t.equal(again.kind, 'committed');
  },
);

void t.test('a person who restarts the kubelet while it is being put back is no failure', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet(withFlag({ exitsAfterMs: 1_000 }));
  let samples = 0;
  const outcome = await apply(node, {
    report: node.report((point) => {
      if (point !== 'before:observeOld') return;
      node.systemd.intercept((verb) => {
        samples += verb === 'pulse' ? 1 : 0;
        if (verb === 'pulse' && samples === 3) node.systemd.restartNow();
      });
    }),
  });
  t.equal(outcome.kind, 'rolledBack');
  t.ok(samples > 3);
  t.equal((await node.host.state.readJournal())?.verdict?.by, 'agent', 'nobody waited for the watchdog');
  await asBefore(t, node);
});

void t.test('a systemd that falls silent is left to the watchdog', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet(withFlag({ exitsAfterMs: 1_000 }));
  const outcome = await apply(node, {
    report: node.report((point) => {
      if (point === 'after:restart') node.systemd.silence(true);
      if (point === 'failed:observeOld:ROLLBACK_FAILED') node.systemd.silence(false);
    }),
  });
  t.match(outcome.kind, /^(rolledBack|broken)$/);
  t.equal(node.read(unitFile), unitText);
});

const sysctlPolicy = policy({
  allowedUnsafeSysctls: [],
  sysctls: [
    { name: 'vm.max_map_count', expectation: { kind: 'value', value: '262144' }, remediation: 'Write' },
  ] as never,
});

void t.test('node sysctls are written without a restart and without a watchdog', tier, async (t) => {
  const node = await fakeNode(t, { sysctls: { 'vm.max_map_count': '65530' } });
  const outcome = await apply(node, { policy: sysctlPolicy });
  t.equal(outcome.kind, 'committed', JSON.stringify(codeOf(outcome)));
  t.strictSame(completed(node), ['stage', 'writeSysctls', 'writeFiles', 'commit']);
  t.strictSame(node.sysctls.written, [{ name: 'vm.max_map_count', value: '262144' }]);
  t.strictSame(
    node.systemd.calls.filter((call) => !call.startsWith('stop ')),
    [],
  );
});

void t.test('a sysctl that the kernel refuses is put back, and may be tried again', tier, async (t) => {
  const node = await fakeNode(t, { sysctls: { 'vm.max_map_count': '65530' } });
  node.sysctls.refuse('vm.max_map_count', 'EINVAL');
  const outcome = await apply(node, { policy: sysctlPolicy });
  t.equal(codeOf(outcome), 'SYSCTL_WRITE_FAILED');
  t.equal(outcome.kind, 'rolledBack');
  t.equal(await node.host.state.readLatch(), undefined, 'nothing was at risk');
});

void t.test(
  'node sysctls that are set say nothing of a kubelet that failed: its latch stays',
  tier,
  async (t) => {
    const node = await fakeNode(t, { sysctls: { 'vm.max_map_count': '65530' } });
    node.kubelet(withFlag({ exitsAfterMs: 0 }));
    t.equal((await apply(node)).kind, 'rolledBack');
    t.equal((await apply(node, { policy: sysctlPolicy })).kind, 'committed');
    t.equal(codeOf(await apply(node)), 'PLAN_LATCHED');
  },
);
