import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { systemCommands } from '../../../agent/host/commands.ts';

/** A PID 1 in network, IPC, UTS, PID and mount namespaces of its own: a host, as far as namespaces tell. */
export interface ThrowawayHost {
  /** As the machine sees it. */
  readonly initPid: number;
  /** Runs a program as a process of that host. @throws unless it exits with 0. */
  run(...command: readonly string[]): Promise<string>;
}

/** Why no throw-away host can be made here; false where it can. For a test's `skip`. */
export function cannotUnshare(): string | false {
  const tried = spawnSync('unshare', ['-n', '-i', '-u', '-p', '-m', '-f', 'true'], { stdio: 'ignore' });
  return tried.status === 0 ? false : 'needs root and the right to make namespaces';
}

/** Starts a host whose PID 1 is called `name`; gone when the test is over. */
export async function throwawayHost(t: Test, name = 'systemd'): Promise<ThrowawayHost> {
  const init = path.join(t.testdir({}), name);
  copyFileSync('/bin/sh', init);
  const options = ['-n', '-i', '-u', '-p', '-m', '-f', '--mount-proc', '--kill-child'];
  // Says so when it runs under its name, then waits for ever.
  const unshare = spawn('unshare', [...options, init, '-c', 'echo up; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    if (unshare.exitCode !== null || unshare.signalCode !== null) return;
    unshare.kill('SIGKILL');
    await once(unshare, 'exit');
  });
  await once(unshare.stdout, 'data');
  const children = readFileSync(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8');
  const initPid = Number(children.trim().split(' ')[0]);
  return {
    initPid,
    async run(...command) {
      const args = ['-t', String(initPid), '-n', '-i', '-u', '-p', '-m', '--', ...command];
      const result = await systemCommands.run('nsenter', args, {
        deadlineMs: 30_000,
        maxBytes: 16 * 1024 * 1024,
      });
      if (result.kind === 'exited' && result.code === 0) return result.stdout;
      throw new Error(`${command.join(' ')}: ${JSON.stringify(result)}`);
    },
  };
}
