/** Runs one case of the contract against the systemd of the machine that it runs on: bundled, inside a throw-away node. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { connectBus } from '../../../agent/host/bus.ts';
import { hostSystemd } from '../../../agent/host/systemd.ts';
import { contractUnit, systemdContract } from '../../support/host/systemd-contract.ts';

const mark = '/run/ksa-contract-mark';

async function main(title: string): Promise<void> {
  const run = systemdContract[title];
  if (run === undefined) throw new Error(`no such case: ${title}`);
  const bus = await connectBus('/run/dbus/system_bus_socket', { deadlineMs: 5_000, reconnect: false });
  const systemd = hostSystemd(bus, { deadlineMs: 5_000, reloadDeadlineMs: 20_000 });
  rmSync(mark, { force: true });
  execFileSync('sh', [
    '-c',
    `systemctl stop ${contractUnit} 2>/dev/null; systemctl reset-failed 2>/dev/null; true`,
  ]);
  try {
    await run({
      systemd,
      mark,
      write: (text) => writeFileSync(`/etc/systemd/system/${contractUnit}`, text),
      moment: async () => new Promise((resolve) => setTimeout(resolve, 20)),
      ran: () => existsSync(mark),
    });
  } finally {
    await systemd.close();
  }
}

main(process.argv[2] ?? '').catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});
