import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execaSync } from 'execa';

/** The root of the project. */
export const projectDirectory = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Where nodes live while they run; ignored by git. */
export const nodesDirectory = join(projectDirectory, '.work/nodes');

export const fixturesDirectory = join(projectDirectory, 'test/fixtures');

export const layoutsDirectory = join(fixturesDirectory, 'layouts');

/** The stand-in kubelet that scripts/setup compiles from test/standin/kubelet.c. */
export const standinKubelet = join(projectDirectory, '.work/standin/kubelet');

/** Node 24 as a single binary: what runs the agent inside a node. */
export function nodeBinary(): string {
  const own = join(projectDirectory, 'node_modules/node/bin/node');
  return existsSync(own) ? own : realpathSync(process.execPath);
}

/**
 * Why no throw-away node can be booted here, whatever its kubelet; undefined when one can. A missing stand-in is
 * not a reason to skip: it throws, because scripts/setup would have built it.
 */
export function nodesUnavailable(): string | undefined {
  const missing = ['systemd-nspawn', 'nsenter', 'fallocate'].filter((program) => !found(program));
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || missing.includes('systemd-nspawn')) {
    return 'needs root and systemd-nspawn';
  }
  if (missing.length > 0) return `needs ${missing.join(' and ')}`;
  if (!existsSync(standinKubelet)) throw new Error(`${standinKubelet} is missing: run scripts/setup`);
  return undefined;
}

function found(program: string): boolean {
  return execaSync('sh', ['-c', 'command -v "$0"', program], { reject: false }).exitCode === 0;
}
