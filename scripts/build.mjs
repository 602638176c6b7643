// Bundles the agent into one CommonJS file. CommonJS, because an ESM import of node:http loads undici as
// well (+8 MiB on every node); one file, because start-up and memory are halved (docs/performance.md).
import { build, transform } from 'esbuild';
import { chmodSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const outfile = 'dist/kubelet-sysctl-agent.cjs';

// V8 keeps the text: libraries get short names inside, our own code keeps its names for the stack traces.
const shortLibraries = {
  name: 'short-libraries',
  setup(bundle) {
    bundle.onLoad({ filter: /\/node_modules\/.*\.[cm]?js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const { code } = await transform(text, { minifyIdentifiers: true, minifySyntax: true });
      return { contents: code, loader: 'js' };
    });
  },
};

const result = await build({
  entryPoints: ['agent/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  legalComments: 'none',
  logLevel: 'warning',
  // V8 keeps the whole text of a script, and a table of its lines: without blanks and comments both are small. Names stay.
  minifyWhitespace: true,
  plugins: [shortLibraries],
  // Only for D-Bus introspection, which the agent never asks for.
  external: ['xml2js'],
  define: { AGENT_VERSION: JSON.stringify(version) },
  banner: { js: '#!/usr/bin/env node' },
});
if (result.warnings.length > 0) process.exit(1);
// One character outside of ASCII makes V8 keep two bytes for each of them.
const stray = readFileSync(outfile).findIndex((byte) => byte > 127);
if (stray !== -1) throw new Error(`${outfile} holds a character outside of ASCII at ${stray}`);
chmodSync(outfile, 0o755);
