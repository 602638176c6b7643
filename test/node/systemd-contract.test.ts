import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { systemdContract } from '../support/host/systemd-contract.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';
import { projectDirectory } from './support/project.ts';

void t.test(
  'the systemd of a node keeps the contract',
  { skip: nodeTierUnavailable() ?? false, timeout: 180_000 },
  async (t) => {
    const bundle = join(projectDirectory, '.work', 'systemd-contract.cjs');
    mkdirSync(join(projectDirectory, '.work'), { recursive: true });
    await build({
      entryPoints: [join(projectDirectory, 'test/node/support/systemd-contract-inside.ts')],
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node24',
      outfile: bundle,
      logLevel: 'warning',
    });
    const node = await bootNode({ layout: 'quick', kubelet: 'standin' }, t);
    node.write('/opt/contract.cjs', readFileSync(bundle));
    for (const title of Object.keys(systemdContract)) {
      await t.test(title, async (t) => {
        const ended = await node.exec(['/opt/agent/node', '/opt/contract.cjs', title]);
        t.equal(ended.code, 0, ended.stderr);
      });
    }
  },
);
