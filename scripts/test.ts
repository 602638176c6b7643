// Runs the tiers and adds them up. Each tier's whole output is in .work/test-TIER.log.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Tier {
  readonly name: string;
  /** Globs of tap files, or commands that pass by ending with 0. */
  readonly files?: string;
  readonly commands?: readonly (readonly string[])[];
  readonly jobs: number;
  readonly timeoutSeconds: number;
}

/** Tiers of one stage run side by side: they wait more than they work. */
const stages: readonly (readonly Tier[])[] = [
  [
    {
      name: 'static',
      commands: [
        ['prettier', '--check', '--log-level', 'warn', '.'],
        ['oxlint', '--type-aware', '--deny-warnings'],
        ['tsc'],
        ['node', 'scripts/generate.ts', '--check'],
      ],
      jobs: 1,
      timeoutSeconds: 300,
    },
  ],
  [{ name: 'unit', files: 'test/unit/**/*.test.ts', jobs: 2, timeoutSeconds: 120 }],
  [{ name: 'contract', files: 'test/contract/**/*.test.ts', jobs: 2, timeoutSeconds: 120 }],
  [
    { name: 'node', files: 'test/node/*.test.ts', jobs: 4, timeoutSeconds: 600 },
    { name: 'chaos', files: 'test/chaos/*.test.ts', jobs: 3, timeoutSeconds: 900 },
  ],
  [
    { name: 'cluster', files: 'test/cluster/*.test.ts', jobs: 2, timeoutSeconds: 600 },
    { name: 'manifests', files: 'test/manifests/*.test.ts', jobs: 2, timeoutSeconds: 300 },
    { name: 'image', files: 'test/image/*.test.ts', jobs: 1, timeoutSeconds: 900 },
  ],
  [{ name: 'scale', files: 'test/scale/*.test.ts', jobs: 2, timeoutSeconds: 600 }],
];
const tiers = stages.flat();

const root = join(import.meta.dirname, '..');
const environment = {
  ...process.env,
  PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}`,
};
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !tiers.some((tier) => tier.name === name));
if (unknown.length > 0) {
  say(`unknown tier: ${unknown.join(', ')}; there are ${tiers.map(({ name }) => name).join(' ')}`);
  process.exit(64);
}

mkdirSync(join(root, '.work'), { recursive: true });
tellWhatIsReal();
let total: Tally = { passed: 0, failed: 0, skipped: 0 };
for (const stage of stages) {
  const chosen = stage.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  total = (await Promise.all(chosen.map(runTier))).reduce(add, total);
}
say(line(total));
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

async function runTier(tier: Tier): Promise<Tally> {
  const startedAt = performance.now();
  const tally = tier.commands === undefined ? await runFiles(tier) : await runCommands(tier, tier.commands);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  say(`${tier.name}: ${line(tally)} (${seconds} s)`);
  return tally;
}

async function runCommands(tier: Tier, commands: readonly (readonly string[])[]): Promise<Tally> {
  let tally: Tally = { passed: 0, failed: 0, skipped: 0 };
  for (const command of commands) {
    const log = logOf(`${tier.name}-${command[0] ?? ''}`);
    const code = await run(command, log, tier.timeoutSeconds);
    if (code !== 0) say(`${command.join(' ')} failed:\n${tail(log)}`);
    tally = add(tally, { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });
  }
  return tally;
}

async function runFiles(tier: Tier): Promise<Tally> {
  const files = globSync(tier.files ?? '', { cwd: root }).sort();
  if (files.length === 0) return { passed: 0, failed: 1, skipped: 0 };
  const log = logOf(tier.name);
  const code = await run(
    ['tap', '--reporter=tap', `--jobs=${tier.jobs}`, `--timeout=${tier.timeoutSeconds}`, ...files],
    log,
    3600,
  );
  const text = readFileSync(log, 'utf8');
  const tally = totalsOf(text);
  for (const reason of new Set([...text.matchAll(/# SKIP (.+)/g)].map((match) => match[1]))) {
    say(`  ${tier.name} skipped: ${reason}`);
  }
  if (code !== 0) {
    const failures = text.split('\n').filter((text) => /^ *not ok/.test(text));
    say(`${tier.name} failed:\n${failures.slice(0, 60).join('\n')}`);
  }
  // A runner that broke down without a failed test has failed all the same.
  return code !== 0 && tally.failed === 0 ? add(tally, { passed: 0, failed: 1, skipped: 0 }) : tally;
}

/** tap's own last line: `# { total: 70, pass: 66, fail: 4, skip: 1 }`. */
function totalsOf(text: string): Tally {
  const last = [...text.matchAll(/^# \{ (.*) \}$/gm)].at(-1)?.[1] ?? '';
  const number = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(last)?.[1] ?? 0);
  return { passed: number('pass'), failed: number('fail'), skipped: number('skip') };
}

async function run(command: readonly string[], log: string, timeoutSeconds: number): Promise<number> {
  const [program = '', ...args] = command;
  const output = createWriteStream(log);
  const child = spawn(program, args, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  const timer = setTimeout(() => child.kill('SIGTERM'), timeoutSeconds * 1000);
  const code = await new Promise<number>((resolve) => {
    child.on('error', () => resolve(127));
    child.on('close', (code) => resolve(code ?? 1));
  });
  clearTimeout(timer);
  await new Promise<void>((resolve) => output.end(() => resolve()));
  return code;
}

function tellWhatIsReal(): void {
  const parts = [
    ['KUBELET', 'kubelet', 'a stand-in kubelet'],
    ['KUBE_APISERVER', 'API server', 'a stand-in API server'],
    ['NODE_ROOT', 'root of the nodes', "this machine's own root"],
  ] as const;
  for (const [name, what, otherwise] of parts) {
    const path = process.env[name];
    if (path !== undefined && !existsSync(path)) {
      say(`${name}=${path} does not exist`);
      process.exit(64);
    }
    say(`${what}: ${path ?? `${otherwise} (${name} is not set)`}`);
  }
}

function logOf(name: string): string {
  return join(root, '.work', `test-${name}.log`);
}

function tail(log: string): string {
  return readFileSync(log, 'utf8').split('\n').slice(-40).join('\n');
}

function add(a: Tally, b: Tally): Tally {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

function line({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
