import t, { type Test } from 'tap';
import { connectBus } from '../../agent/host/bus.ts';
import { hostSystemd, type Systemd } from '../../agent/host/systemd.ts';
import { busError, never, type StandinBus, standinBus } from '../support/host/standin-systemd-bus.ts';

const deadlineMs = 300;
const job = '/org/freedesktop/systemd1/job/7';
const unit = 'kubelet.service';
const timer = { name: 'w', description: 'd', afterMs: 1_500, command: ['/bin/sh', '/x', 'timer'] };

async function connected(t: Test): Promise<{ bus: StandinBus; systemd: Systemd }> {
  const bus = await standinBus(t);
  const connection = await connectBus(bus.socket, { deadlineMs, reconnect: false });
  const systemd = hostSystemd(connection, { deadlineMs, reloadDeadlineMs: deadlineMs });
  t.teardown(async () => systemd.close());
  return { bus, systemd };
}

void t.test('a job that ended before its name was told is still found', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('RestartUnit', 'o', () => {
    bus.jobRemoved(job, 'done');
    return job;
  });
  t.strictSame(await systemd.restart(unit, { deadlineMs: 5_000 }), { kind: 'finished', result: 'done' });
});

void t.test('the end of another job says nothing of ours', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('RestartUnit', 'o', () => {
    bus.jobRemoved('/org/freedesktop/systemd1/job/6', 'done');
    return job;
  });
  const restarted = systemd.restart(unit, { deadlineMs: 1_000 });
  await waitFor(() => bus.calls.includes('RestartUnit'));
  bus.jobRemoved('/org/freedesktop/systemd1/job/8', 'done');
  t.strictSame(await restarted, { kind: 'timedOut' });
});

void t.test('every word of systemd for the end of a job is handed on as it is', async (t) => {
  const { bus, systemd } = await connected(t);
  for (const result of [
    'done',
    'canceled',
    'timeout',
    'failed',
    'dependency',
    'skipped',
    'invalid',
    'assert',
    'unsupported',
    'collected',
    'once',
    'frozen',
  ]) {
    bus.manager('RestartUnit', 'o', () => {
      bus.jobRemoved(job, result);
      return job;
    });
    t.strictSame(await systemd.restart(unit, { deadlineMs: 5_000 }), { kind: 'finished', result });
  }
});

void t.test('a restart that systemd refuses is refused, with its own words', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('RestartUnit', 'o', () => {
    throw busError(
      'org.freedesktop.systemd1.BadUnitSetting',
      'Unit kubelet.service has a bad unit file setting.',
    );
  });
  t.match(await systemd.restart(unit, { deadlineMs: 5_000 }), {
    kind: 'refused',
    reason: /has a bad unit file setting/,
  });
});

void t.test('no answer, no end of the job, a bus that dies and a signal are never success', async (t) => {
  await t.test('no answer', async (t) => {
    const { bus, systemd } = await connected(t);
    bus.manager('RestartUnit', 'o', never);
    t.strictSame(await systemd.restart(unit, { deadlineMs: 5_000 }), { kind: 'timedOut' });
  });
  await t.test('no end', async (t) => {
    const { bus, systemd } = await connected(t);
    bus.manager('RestartUnit', 'o', () => job);
    t.strictSame(await systemd.restart(unit, { deadlineMs: 200 }), { kind: 'timedOut' });
  });
  await t.test('the bus dies', async (t) => {
    const { bus, systemd } = await connected(t);
    bus.manager('RestartUnit', 'o', async () => {
      bus.die();
      return never();
    });
    t.strictSame(await systemd.restart(unit, { deadlineMs: 1_000 }), { kind: 'timedOut' });
  });
  await t.test('a signal', async (t) => {
    const { bus, systemd } = await connected(t);
    bus.manager('RestartUnit', 'o', () => job);
    const stop = new AbortController();
    const restarted = systemd.restart(unit, { deadlineMs: 60_000, signal: stop.signal });
    await waitFor(() => bus.calls.includes('RestartUnit'));
    stop.abort();
    t.strictSame(await restarted, { kind: 'timedOut' });
  });
});

void t.test('a reload that fails or is not answered has failed', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('Reload', '', () => {
    throw busError(
      'org.freedesktop.DBus.Error.LimitsExceeded',
      'Reload() request rejected due to rate limit.',
    );
  });
  await t.rejects(systemd.reload(), { code: 'RELOAD_FAILED', message: /rejected due to rate limit/ });
  bus.manager('Reload', '', never);
  await t.rejects(systemd.reload(), { code: 'RELOAD_FAILED', message: /did not answer in time/ });
  bus.manager('Reload', '', () => null);
  await systemd.reload();
});

void t.test('being subscribed already is fine', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('Subscribe', '', () => {
    throw busError('org.freedesktop.systemd1.AlreadySubscribed', 'Client is already subscribed.');
  });
  bus.manager('RestartUnit', 'o', () => {
    bus.jobRemoved(job, 'done');
    return job;
  });
  t.match(await systemd.restart(unit, { deadlineMs: 5_000 }), { kind: 'finished' });
});

void t.test('a silent systemd ends in a deadline with a code, for every question', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.silence();
  bus.manager('ResetFailedUnit', '', never);
  bus.manager('StopUnit', 'o', never);
  bus.manager('StartTransientUnit', 'o', never);
  const silent = { code: 'SYSTEMD_CALL_FAILED' };
  await t.rejects(systemd.pulse(unit), silent);
  await t.rejects(systemd.observe(unit), silent);
  await t.rejects(systemd.isActive(unit), silent);
  await t.rejects(systemd.version(), silent);
  await t.rejects(systemd.resetFailed(unit), silent);
  await t.rejects(systemd.stopTimer('w'), silent);
  await t.rejects(systemd.startTimer(timer), { code: 'WATCHDOG_NOT_ARMED' });
});

void t.test('a unit that is not loaded has nothing to reset; any other no is an error', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('ResetFailedUnit', '', () => {
    throw busError('org.freedesktop.systemd1.NoSuchUnit', 'Unit kubelet.service not loaded.');
  });
  await systemd.resetFailed(unit);
  bus.manager('ResetFailedUnit', '', () => {
    throw busError('org.freedesktop.DBus.Error.AccessDenied', 'Permission denied');
  });
  await t.rejects(systemd.resetFailed(unit), { code: 'SYSTEMD_CALL_FAILED' });
});

void t.test('a timer that is gone is stopped; one that cannot be stopped is an error', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('StopUnit', 'o', () => {
    throw busError('org.freedesktop.systemd1.NoSuchUnit', 'Unit w.timer not loaded.');
  });
  await systemd.stopTimer('w');
  bus.manager('StopUnit', 'o', () => {
    throw busError('org.freedesktop.DBus.Error.AccessDenied', 'Permission denied');
  });
  await t.rejects(systemd.stopTimer('w'), { code: 'SYSTEMD_CALL_FAILED', message: /Permission denied/ });
});

void t.test('a timer of an earlier transaction is waited out, and the new one must run', async (t) => {
  const { bus, systemd } = await connected(t);
  let exists = 2;
  let told: unknown[] = [];
  bus.manager('ResetFailedUnit', '', () => null);
  bus.manager('StartTransientUnit', 'o', (...args) => {
    exists -= 1;
    if (exists >= 0) throw busError('org.freedesktop.systemd1.UnitExists', 'Unit w.timer already exists.');
    told = args;
    bus.properties.set('ActiveState', ['s', 'active']);
    return job;
  });
  await systemd.startTimer(timer);
  t.equal(
    bus.calls.filter((call) => call === 'ResetFailedUnit').length,
    4,
    'the timer and its service, each time',
  );
  t.strictSame(told.slice(0, 2), ['w.timer', 'replace']);
});

void t.test('an active timer of that name which stays is not ours', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('ResetFailedUnit', '', () => null);
  bus.manager('StartTransientUnit', 'o', () => {
    throw busError('org.freedesktop.systemd1.UnitExists', 'Unit w.timer already exists.');
  });
  bus.properties.set('ActiveState', ['s', 'active']);
  await t.rejects(systemd.startTimer(timer), { code: 'WATCHDOG_NOT_ARMED', message: /does not go away/ });
});

void t.test('a timer that systemd takes but does not run is not armed', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.manager('StartTransientUnit', 'o', () => job);
  bus.properties.set('ActiveState', ['s', 'inactive']);
  await t.rejects(systemd.startTimer(timer), { code: 'WATCHDOG_NOT_ARMED', message: /does not run it/ });
});

void t.test('what an older systemd does not know is left open; infinity is a finite number', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.properties.set('LoadState', ['s', 'loaded']);
  bus.properties.set('TimeoutStartUSec', ['t', 2n ** 64n - 1n]);
  bus.properties.set('RestartUSec', ['t', 100_000n]);
  bus.properties.set('MainPID', ['u', 42]);
  bus.properties.set('ExecStart', [
    'a(sasbttttuii)',
    [['/usr/bin/kubelet', ['/usr/bin/kubelet', '--x=$Y'], true, 0n, 0n, 0n, 0n, 0, 0, 0]],
  ]);
  bus.properties.set('EnvironmentFiles', ['a(sb)', [['/etc/default/kubelet', true]]]);
  const found = await systemd.observe(unit);
  t.equal(found.loadState, 'loaded');
  t.equal(found.restartMs, 100);
  t.ok(Number.isFinite(found.startTimeoutMs));
  t.ok(found.startTimeoutMs > 1e15);
  t.equal(found.mainPid, 42);
  t.equal(found.invocationId, '');
  t.strictSame(found.execStart, [
    { path: '/usr/bin/kubelet', argv: ['/usr/bin/kubelet', '--x=$Y'], flags: ['ignore-failure'] },
  ]);
  t.strictSame(found.environmentFiles, [{ path: '/etc/default/kubelet', optional: true }]);
  t.match(found.settings['TimeoutStartUSec'], '18446744073709551615', 'compared without losing a digit');
});

void t.test('the version is the first number of what systemd says', async (t) => {
  const { bus, systemd } = await connected(t);
  bus.properties.set('Version', ['s', '249 (249.11-0ubuntu3.12)']);
  t.equal(await systemd.version(), 249);
  bus.properties.set('Version', ['s', 'unknown']);
  t.equal(await systemd.version(), undefined);
});

void t.test('where no bus is there is no connection', async (t) => {
  await t.rejects(connectBus('/nonexistent/socket', { deadlineMs, reconnect: false }), {
    code: 'SYSTEMD_UNREACHABLE',
  });
});

async function waitFor(there: () => boolean): Promise<void> {
  while (!there()) await new Promise((resolve) => setImmediate(resolve));
}
