// Measures the agent beside Debian's prometheus-node-exporter and a C server, on one throw-away node, in one run, and
// prints the tables of docs/performance.md: `node scripts/bench.ts [--scrapes N] [--flags image|none]`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { bootNode, type TestNode, waitFor } from '../test/node/support/node.ts';
import { type Measured, Processes } from './bench/processes.ts';
import { Table } from './bench/table.ts';

/** What the image starts Node with; the Dockerfile's entry point says the same. */
const imageFlags = [
  '--jitless',
  '--optimize-for-size',
  '--v8-pool-size=0',
  '--max-semi-space-size=1',
  '--expose-gc',
];
const imageEnvironment = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '65536', UV_THREADPOOL_SIZE: '1' };

const { values } = parseArgs({
  options: {
    scrapes: { type: 'string', default: '5760' },
    flags: { type: 'string', default: 'image' },
    idle: { type: 'string', default: '60' },
  },
});
const scrapes = Number(values.scrapes);
const nodeFlags = values.flags === 'image' ? imageFlags : [];
const environment = values.flags === 'image' ? imageEnvironment : {};
const ports = { agent: 9877, exporter: 9100, limit: 9999 } as const;
type Server = keyof typeof ports;

const scratch = mkdtempSync(join(tmpdir(), 'bench-'));
const node = await bootNode({ layout: 'quick' });
const processes = new Processes(`sysctl-agent-bench-${process.pid}`);
/** Scrape times of all three, in turns, so that the machine's moods meet all of them. */
async function speed(node: TestNode, names: readonly string[]): Promise<void> {
  const table = new Table([
    'sysctls',
    'server',
    'p50 µs',
    'p99 µs',
    'CPU µs/scrape',
    'of node_exporter',
    'body KiB',
  ]);
  for (const count of [10, 100, 1000]) {
    const chosen = names.slice(0, count);
    if (chosen.length < count)
      throw new Error(`this kernel shows ${chosen.length} numeric sysctls, not ${count}`);
    const started = await startAll(node, chosen);
    const times: Record<Server, number[]> = { agent: [], exporter: [], limit: [] };
    const cpu: Record<Server, number> = { agent: 0, exporter: 0, limit: 0 };
    const bodies: Record<Server, number> = { agent: 0, exporter: 0, limit: 0 };
    const rounds = 10;
    const each = Math.max(10, Math.round(scrapes / (count === 1000 ? 40 : 10) / rounds));
    for (let round = 0; round <= rounds; round += 1) {
      for (const server of ['agent', 'exporter', 'limit'] as const) {
        const before = processes.cpuMicroseconds(started[server]);
        const { us, bytes } = await scrape(node, ports[server], each);
        // The first round warms caches and compilers up.
        if (round === 0) continue;
        cpu[server] += processes.cpuMicroseconds(started[server]) - before;
        times[server].push(...us);
        bodies[server] = bytes;
      }
    }
    const reference = quantile(times.exporter, 0.5);
    for (const server of ['agent', 'exporter', 'limit'] as const) {
      const p50 = quantile(times[server], 0.5);
      table.row(
        count,
        server,
        p50.toFixed(0),
        quantile(times[server], 0.99).toFixed(0),
        (cpu[server] / times[server].length).toFixed(0),
        (p50 / reference).toFixed(2),
        (bodies[server] / 1024).toFixed(1),
      );
    }
    await stopAll(started);
  }
  table.print(`Scrapes (${values.flags === 'image' ? "the image's flags" : 'no flags'})`);
}

/** Start, idling, and memory before and after two days' worth of scrapes of 100 sysctls. */
async function memory(node: TestNode, names: readonly string[]): Promise<void> {
  const table = new Table(['', 'agent', 'node_exporter']);
  const starts = {
    agent: await startTimes(node, 'agent', names),
    exporter: await startTimes(node, 'exporter', names),
  };
  table.row('start to first answer, ms (median of 11)', starts.agent.toFixed(0), starts.exporter.toFixed(0));
  const started = await startAll(node, names);
  const rows: [string, Record<'agent' | 'exporter', Measured>][] = [];
  const measure = (what: string): void => {
    rows.push([
      what,
      { agent: processes.measure(started.agent), exporter: processes.measure(started.exporter) },
    ]);
  };
  const idleS = Number(values.idle);
  // What a start leaves to be done is no idling.
  await pause(20);
  const before = processes.cpuMicroseconds(started.agent);
  const beforeExporter = processes.cpuMicroseconds(started.exporter);
  await pause(idleS);
  const idle = (processes.cpuMicroseconds(started.agent) - before) / idleS / 1000;
  const idleExporter = (processes.cpuMicroseconds(started.exporter) - beforeExporter) / idleS / 1000;
  table.row(`idle CPU, millicores (over ${idleS} s)`, idle.toFixed(2), idleExporter.toFixed(2));
  measure('before');
  for (const day of ['one day', 'two days']) {
    await scrape(node, ports.agent, scrapes);
    await scrape(node, ports.exporter, scrapes);
    measure(`after ${day} (${scrapes} scrapes each)`);
    // A look at the whole node, which comes every ten minutes at the latest, ends with a tidy heap.
    node.write('/etc/systemd/system/service.d/10-bench.conf', `# ${day}\n`);
    await pause(3);
    measure(`${day}, after the next look`);
  }
  for (const [what, { agent, exporter }] of rows) {
    table.row(`working set ${what}, MiB`, agent.workingSet, exporter.workingSet);
    table.row(`of it anonymous, MiB`, agent.anonymous, exporter.anonymous);
    table.row(`RSS ${what}, MiB`, agent.rss, exporter.rss);
    table.row(`PSS ${what}, MiB`, agent.pss, exporter.pss);
  }
  await stopAll(started);
  table.print('Memory, start, idling: 100 sysctls');
}

async function pause(seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

type Started = Record<Server, number>;

async function startAll(node: TestNode, names: readonly string[]): Promise<Started> {
  return {
    agent: await start(node, 'agent', names),
    exporter: await start(node, 'exporter', names),
    limit: await start(node, 'limit', names),
  };
}

async function stopAll(started: Started): Promise<void> {
  for (const pid of Object.values(started)) await processes.kill(pid);
}

async function start(node: TestNode, server: Server, names: readonly string[]): Promise<number> {
  const pid = await processes.start(
    node,
    server,
    commandOf(node, server, names),
    server === 'agent' ? environment : {},
  );
  await waitFor(async () => (await node.exec(['/opt/bench/client', String(ports[server]), '1'])).code === 0, {
    what: `${server} to answer`,
  });
  if (server === 'agent') {
    const ready = async (): Promise<boolean> =>
      (await node.exec(['bash', '-c', readyz])).stdout.includes('200 OK');
    await waitFor(ready, { what: 'the agent to see the node' });
  }
  return pid;
}

const readyz = `exec 3<>/dev/tcp/127.0.0.1/9877 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3`;

function commandOf(node: TestNode, server: Server, names: readonly string[]): readonly string[] {
  switch (server) {
    case 'agent': {
      node.write('/opt/bench/policy.yaml', policyText(names));
      const [program = ''] = node.agentCommand([]);
      const rest = [
        '/opt/bench/agent.cjs',
        'run',
        '--policy',
        '/opt/bench/policy.yaml',
        '--listen',
        '127.0.0.1:9877',
      ];
      return [program, ...nodeFlags, ...rest];
    }
    case 'exporter':
      return [
        'prometheus-node-exporter',
        '--collector.disable-defaults',
        '--collector.sysctl',
        '--web.disable-exporter-metrics',
        '--web.listen-address=127.0.0.1:9100',
        ...names.map((name) => `--collector.sysctl.include=${name}`),
      ];
    case 'limit':
      return ['/opt/bench/limit', '9999', ...names];
    default:
      throw new Error(`no such server: ${String(server)}`);
  }
}

function policyText(names: readonly string[]): string {
  const lines = names.map(
    (name) => `    - { name: ${JSON.stringify(name)}, value: ${JSON.stringify(current.get(name))} }\n`,
  );
  return `apiVersion: sysctl-agent.dev/v1alpha1\nkind: NodeSysctlPolicy\nmetadata: { name: bench }\nspec:\n  kubelet: { allowedUnsafeSysctls: [] }\n  sysctls:\n${lines.join('')}`;
}

const current = new Map<string, string>();

/** Names of the node's sysctls that are one integer within int64: node_exporter fails on everything else. */
async function numericSysctls(node: TestNode): Promise<readonly string[]> {
  for (const link of ['bench0', 'bench1', 'bench2', 'bench3'])
    await node.exec(['ip', 'link', 'add', link, 'type', 'bridge']);
  const script = `cd /proc/sys && find . -type f -readable | while read -r f; do v=$(cat "$f" 2>/dev/null | tr '\\n' '|') && printf '%s=%s\\n' "$f" "$v"; done`;
  const { stdout } = await node.exec(['sh', '-c', script]);
  for (const line of stdout.split('\n')) {
    const match = /^\.\/([^=]+)=(-?\d{1,18})\|$/.exec(line);
    if (match === null || volatile.test(line)) continue;
    current.set(
      (match[1] ?? '').replaceAll(/[./]/g, (letter) => (letter === '/' ? '.' : '/')),
      match[2] ?? '',
    );
  }
  return [...current.keys()].sort();
}

const volatile = /random|inode|file-nr|dentry|nf_conntrack_count|ns_last_pid|quota|pty\/nr/;

async function scrape(node: TestNode, port: number, times: number): Promise<{ us: number[]; bytes: number }> {
  const { code, stdout, stderr } = await node.exec(['/opt/bench/client', String(port), String(times)], {
    deadlineMs: 600_000,
  });
  if (code !== 0) throw new Error(`scraping ${port} gave ${code}: ${stderr}`);
  const lines = stdout.trim().split('\n');
  return { us: lines.slice(0, -1).map(Number), bytes: Number(lines.at(-1)?.split(' ')[1]) };
}

async function startTimes(node: TestNode, server: Server, names: readonly string[]): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 11; run += 1) {
    const command = ['/opt/bench/start', String(ports[server]), ...commandOf(node, server, names)];
    const { code, stdout } = await node.exec(command, { env: server === 'agent' ? environment : {} });
    if (code !== 0) throw new Error(`${server} did not answer`);
    times.push(Number(stdout));
  }
  return quantile(times, 0.5);
}

function quantile(samples: readonly number[], at: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
}

try {
  for (const program of ['client', 'limit', 'start']) {
    const source = new URL(`bench/${program}.c`, import.meta.url).pathname;
    await execa('gcc', ['-O2', '-D_GNU_SOURCE', '-o', join(scratch, program), source]);
    node.write(`/opt/bench/${program}`, readFileSync(join(scratch, program)), 0o755);
  }
  const bundle = new URL('../dist/kubelet-sysctl-agent.cjs', import.meta.url);
  node.write('/opt/bench/agent.cjs', readFileSync(bundle));
  const names = await numericSysctls(node);
  await speed(node, names);
  await memory(node, names.slice(0, 100));
} finally {
  await node.dispose();
  processes.close();
  rmSync(scratch, { recursive: true, force: true });
}
