import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { systemCommands } from '../../../agent/host/commands.ts';
import { cannotUnshare } from './throwaway-host.ts';

/** A containerd of the test's own, with its state where a host whose root is `root` has it. */
export interface Containerd {
  readonly root: string;
  /** Runs a container, made from this config.json but for its program and root, until `remove`. */
  run(id: string, config: object): Promise<void>;
  remove(id: string): Promise<void>;
}

/** Why no containerd can be run here; false where it can. For a test's `skip`. */
export function cannotRunContainerd(): string | false {
  const missing = ['containerd', 'runc', 'ctr'].find(
    (program) => spawnSync(program, ['--version']).error !== undefined,
  );
  return missing === undefined ? cannotUnshare() : `${missing} is not installed`;
}

/** Starts it; everything is gone when the test is over. */
export async function startContainerd(t: Test): Promise<Containerd> {
  // Not the test's own directory: the path of a socket must be short.
  const root = mkdtempSync(path.join(tmpdir(), 'ksa-'));
  const state = path.join(root, 'run', 'containerd');
  const socket = path.join(state, 'containerd.sock');
  const rootfs = path.join(root, 'rootfs');
  mkdirSync(rootfs, { recursive: true });
  writeFileSync(
    path.join(root, 'config.toml'),
    [
      'version = 2',
      `root = "${root}/lib"`,
      `state = "${state}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      `[grpc]\naddress = "${socket}"`,
      '',
    ].join('\n'),
  );
  const daemon = spawn('containerd', ['--config', path.join(root, 'config.toml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const started = new Set<string>();

  const ctr = async (...args: readonly string[]): Promise<void> => {
    const words = ['--address', socket, '-n', 'k8s.io', ...args];
    const result = await systemCommands.run('ctr', words, { deadlineMs: 30_000 });
    if (result.kind !== 'exited' || result.code !== 0)
      throw new Error(`ctr ${args.join(' ')}: ${JSON.stringify(result)}`);
  };
  const remove = async (id: string): Promise<void> => {
    await ctr('tasks', 'rm', '--force', id);
    await ctr('containers', 'rm', id);
    started.delete(id);
  };
  const stop = async (): Promise<void> => {
    if (daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill('SIGTERM');
    await once(daemon, 'exit');
  };

  t.teardown(async () => {
    for (const id of started) await remove(id);
    await stop();
    rmSync(root, { recursive: true, force: true });
  });
  for await (const line of createInterface({ input: daemon.stderr }))
    if (line.includes('successfully booted')) break;
  daemon.stderr.resume();

  return {
    root,
    remove,
    async run(id, config) {
      const file = path.join(root, `${id}.json`);
      const own = {
        process: { user: { uid: 0, gid: 0 }, args: ['/bin/sleep', '1000'], cwd: '/', env: ['PATH=/bin'] },
        root: { path: rootfs, readonly: false },
        mounts: [
          { destination: '/proc', type: 'proc', source: 'proc' },
          ...['/bin', '/lib', '/lib64', '/usr']
            .filter((directory) => existsSync(directory))
            .map((directory) => ({
              destination: directory,
              type: 'bind',
              source: directory,
              options: ['rbind', 'ro'],
            })),
        ],
      };
      writeFileSync(file, JSON.stringify({ ...config, ...own }));
      started.add(id);
      await ctr('run', '--detach', '--config', file, id);
    },
  };
}
