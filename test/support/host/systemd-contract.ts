import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import type { Systemd, UnitPulse } from '../../../agent/host/systemd.ts';

/** A systemd and what a case needs around it, real or not. */
export interface SystemdBench {
  readonly systemd: Systemd;
  /** Writes the unit's file; systemd is not told. */
  write(text: string): void;
  /** Lets a moment pass. */
  moment(): Promise<void>;
  /** Where a timer's program says that it ran, and whether it did. */
  readonly mark: string;
  ran(): boolean;
}

export const contractUnit = 'ksa-contract.service';

const service = (lines: string): string => `[Service]\n${lines}\n`;
const healthy = service('ExecStart=/bin/sleep 1000');
const deadline = { deadlineMs: 10_000 };

/** What every Systemd keeps, whatever is behind it. Each case starts with the unit stopped and its counters clear. */
export const systemdContract: Readonly<Record<string, (bench: SystemdBench) => Promise<void>>> = {
  'a restart gives another process and another invocation': async (bench) => {
    const first = await started(bench, healthy);
    const second = await restarted(bench);
    notEqual(second.mainPid, first.mainPid);
    notEqual(second.invocationId, first.invocationId);
    equal(second.nRestarts, 0);
  },
  'a job of Type=simple is done although its process ends at once': async (bench) => {
    await loaded(bench, service('ExecStart=/bin/false\nRestart=no'));
    deepEqual(await bench.systemd.restart(contractUnit, deadline), { kind: 'finished', result: 'done' });
    await until(bench, async () => (await bench.systemd.pulse(contractUnit)).activeState === 'failed');
    equal((await bench.systemd.pulse(contractUnit)).mainPid, 0);
  },
  'a crash loop counts its restarts, each with a new invocation': async (bench) => {
    await loaded(bench, service('ExecStart=/bin/false\nRestart=always'));
    await bench.systemd.restart(contractUnit, deadline);
    const { invocationId } = await bench.systemd.pulse(contractUnit);
    await until(bench, async () => {
      const pulse = await bench.systemd.pulse(contractUnit);
      return pulse.nRestarts > 0 && pulse.invocationId !== invocationId;
    });
    await until(bench, async () => (await bench.systemd.pulse(contractUnit)).activeState === 'failed');
  },
  'a reload keeps process and invocation, and takes the edit in': async (bench) => {
    const before = await started(bench, healthy);
    equal((await bench.systemd.observe(contractUnit)).needDaemonReload, false);
    bench.write(service('ExecStart=/bin/sleep 2000'));
    equal((await bench.systemd.observe(contractUnit)).needDaemonReload, true);
    deepEqual((await bench.systemd.observe(contractUnit)).execStart[0]?.argv, ['/bin/sleep', '1000']);
    await bench.systemd.reload();
    const unit = await bench.systemd.observe(contractUnit);
    equal(unit.needDaemonReload, false);
    deepEqual(unit.execStart[0]?.argv, ['/bin/sleep', '2000']);
    deepEqual(await bench.systemd.pulse(contractUnit), before);
  },
  'a unit with a bad setting is not restarted, and its process lives on': async (bench) => {
    const before = await started(bench, healthy);
    await loaded(bench, service('ExecStart=/bin/sleep 1\nExecStart=/bin/sleep 2'));
    equal((await bench.systemd.observe(contractUnit)).loadState, 'bad-setting');
    const result = await bench.systemd.restart(contractUnit, deadline);
    equal(result.kind, 'refused');
    ok(result.kind === 'refused' && result.reason.includes('bad unit file setting'));
    equal((await bench.systemd.pulse(contractUnit)).mainPid, before.mainPid);
  },
  'too many restarts of a healthy unit leave it stopped until its counter is cleared': async (bench) => {
    await started(bench, healthy);
    let last: string | undefined;
    for (let restarts = 0; restarts < 6 && last !== 'failed'; restarts += 1) {
      const result = await bench.systemd.restart(contractUnit, deadline);
      last = result.kind === 'finished' ? result.result : result.kind;
    }
    equal(last, 'failed');
    equal((await bench.systemd.pulse(contractUnit)).mainPid, 0);
    await bench.systemd.resetFailed(contractUnit);
    notEqual((await restarted(bench)).mainPid, 0);
  },
  'a unit that does not exist is not found': async ({ systemd }) => {
    equal((await systemd.observe('ksa-nowhere.service')).loadState, 'not-found');
  },
  'a timer runs when it is started, can be stopped twice, and its name used again at once': async ({
    systemd,
    mark,
  }) => {
    const timer = {
      name: 'ksa-contract-timer',
      description: 'a test',
      afterMs: 600_000,
      command: ['/bin/touch', mark],
    };
    for (let round = 0; round < 3; round += 1) {
      await systemd.startTimer(timer);
      equal(await systemd.isActive('ksa-contract-timer.timer'), true);
      await systemd.stopTimer(timer.name);
    }
    await systemd.stopTimer(timer.name);
    equal(await systemd.isActive('ksa-contract-timer.timer'), false);
  },
  'a timer starts its program when its time has come': async (bench) => {
    await bench.systemd.startTimer({
      name: 'ksa-contract-soon',
      description: 'a test',
      afterMs: 200,
      command: ['/bin/touch', bench.mark],
    });
    await until(bench, async () => Promise.resolve(bench.ran()));
  },
};

async function loaded(bench: SystemdBench, text: string): Promise<void> {
  bench.write(text);
  await bench.systemd.reload();
}

async function started(bench: SystemdBench, text: string): Promise<UnitPulse> {
  await loaded(bench, text);
  await bench.systemd.resetFailed(contractUnit);
  return restarted(bench);
}

async function restarted({ systemd }: SystemdBench): Promise<UnitPulse> {
  deepEqual(await systemd.restart(contractUnit, deadline), { kind: 'finished', result: 'done' });
  const pulse = await systemd.pulse(contractUnit);
  equal(pulse.activeState, 'active');
  return pulse;
}

async function until(bench: SystemdBench, there: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 500; looks += 1) {
    if (await there()) return;
    await bench.moment();
  }
  ok(false, 'it never came');
}
