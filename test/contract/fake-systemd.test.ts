import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { hostFiles } from '../../agent/host/files.ts';
import { fakeSystemd } from '../support/host/fake-systemd.ts';
import { fakeProcesses } from '../support/host/kubelet-process.ts';
import { runningClock } from '../support/host/running-clock.ts';
import { contractUnit, systemdContract } from '../support/host/systemd-contract.ts';

for (const [title, run] of Object.entries(systemdContract)) {
  void t.test(`the systemd of the unit tests: ${title}`, async (t) => {
    const root = mkdtempSync(path.join(tmpdir(), 'ksa-contract-'));
    t.teardown(() => rmSync(root, { recursive: true, force: true }));
    const mark = path.join(root, 'mark');
    const clock = runningClock(0);
    const systemd = fakeSystemd({
      files: hostFiles(root),
      clock,
      processes: fakeProcesses(),
      unit: contractUnit,
      kubelet: ([program]) => (program === '/bin/false' ? { exitsAfterMs: 0 } : {}),
      runTimer: async ([, file = '']) => Promise.resolve(writeFileSync(file, '')),
    });
    mkdirSync(path.join(root, 'etc/systemd/system'), { recursive: true });
    await run({
      systemd,
      mark,
      write: (text) => writeFileSync(path.join(root, 'etc/systemd/system', contractUnit), text),
      moment: async () => clock.sleep(20),
      ran: () => existsSync(mark),
    });
  });
}
