// Bundles the agent into one CommonJS file. CommonJS, because an ESM import of node:http loads undici as
// well (+8 MiB on every node); one file, because start-up and memory are halved (docs/performance.md).
import { build } from 'esbuild';
import { chmodSync, readFileSync } from 'node:fs';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const result = await build({
  entryPoints: ['agent/main.ts'],
  outfile: 'dist/kubelet-sysctl-agent.cjs',
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  legalComments: 'none',
  logLevel: 'warning',
  define: { AGENT_VERSION: JSON.stringify(version) },
  banner: { js: '#!/usr/bin/env node' },
});
if (result.warnings.length > 0) process.exit(1);
chmodSync('dist/kubelet-sysctl-agent.cjs', 0o755);
