// Measures the agent beside Debian's prometheus-node-exporter and a C server, on one throw-away node, in one run, and
// prints the tables of docs/performance.md: `node scripts/bench.ts [--scrapes N] [--flags image|none] [--only
// speed|memory]`.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
    only: { type: 'string' },
  },
});
const scrapes = Number(values.scrapes);
const nodeFlags = values.flags === 'image' ? imageFlags : [];
const environment = values.flags === 'image' ? imageEnvironment : {};
const ports = { agent: 9877, fleetAgent: 9878, exporter: 9100, limit: 9999 } as const;
const apiPort = 16443;
/** `fleetAgent`: the agent with an API server, four watches over TLS among them. */
type Server = keyof typeof ports;
type Timed = Exclude<Server, 'fleetAgent'>;

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
    const times: Record<Timed, number[]> = { agent: [], exporter: [], limit: [] };
    const cpu: Record<Timed, number> = { agent: 0, exporter: 0, limit: 0 };
    const bodies: Record<Timed, number> = { agent: 0, exporter: 0, limit: 0 };
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
  const table = new Table(['', 'agent', 'agent with an API server', 'node_exporter']);
  const starts = {
    agent: await startTimes(node, 'agent', names),
    exporter: await startTimes(node, 'exporter', names),
  };
  const between = (range: readonly number[]): string =>
    `${quantile(range, 0.5).toFixed(0)} (${quantile(range, 0).toFixed(0)} to ${quantile(range, 1).toFixed(0)})`;
  table.row(
    'start to first answer, ms, median of 11 (least to most)',
    between(starts.agent),
    '',
    between(starts.exporter),
  );
  const started = await startAll(node, names);
  const api = await startApiServer(node, names);
  const fleetAgent = await start(node, 'fleetAgent', names);
  const rows: [string, Record<'agent' | 'fleetAgent' | 'exporter', Measured>][] = [];
  const measure = (what: string): void => {
    rows.push([
      what,
      {
        agent: processes.measure(started.agent),
        fleetAgent: processes.measure(fleetAgent),
        exporter: processes.measure(started.exporter),
      },
    ]);
  };
  const idleS = Number(values.idle);
  const pids = [started.agent, fleetAgent, started.exporter];
  // What a start leaves to be done is no idling.
  await pause(20);
  const before = pids.map((pid) => processes.cpuMicroseconds(pid));
  await pause(idleS);
  const idle = pids.map((pid, index) =>
    ((processes.cpuMicroseconds(pid) - (before[index] ?? 0)) / idleS / 1000).toFixed(2),
  );
  table.row(`idle CPU, millicores (over ${idleS} s)`, ...idle);
  measure('before');
  for (const day of ['one day', 'two days']) {
    const after = { agent: nothing, fleetAgent: nothing, exporter: nothing };
    for (const [server, pid] of [
      ['agent', started.agent],
      ['fleetAgent', fleetAgent],
      ['exporter', started.exporter],
    ] as const) {
      await scrape(node, ports[server], scrapes);
      await pause(0.5);
      after[server] = processes.measure(pid);
    }
    rows.push([`half a second after ${day} (${scrapes} scrapes)`, after]);
    // A look at the whole node, which comes every ten minutes at the latest.
    node.write('/etc/systemd/system/service.d/10-bench.conf', `# ${day}\n`);
    await pause(3);
    measure(`${day}, after the next look`);
  }
  for (const [what, { agent, fleetAgent: inFleet, exporter }] of rows) {
    table.row(`working set ${what}, MiB`, agent.workingSet, inFleet.workingSet, exporter.workingSet);
    table.row(`of it anonymous, MiB`, agent.anonymous, inFleet.anonymous, exporter.anonymous);
    table.row(`RSS ${what}, MiB`, agent.rss, inFleet.rss, exporter.rss);
    table.row(`PSS ${what}, MiB`, agent.pss, inFleet.pss, exporter.pss);
  }
  await processes.kill(fleetAgent);
  api.kill('SIGKILL');
  await stopAll(started);
  table.print('Memory, start, idling: 100 sysctls');
}

const nothing: Measured = { workingSet: '', anonymous: '', rss: '', pss: '' };

async function pause(seconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

type Started = Record<Timed, number>;

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
  const pid = await processes.start(node, server, commandOf(node, server, names), {
    ...(isAgent(server) ? environment : {}),
    ...(server === 'fleetAgent' ? podEnvironment : {}),
  });
  await waitFor(async () => (await node.exec(['/opt/bench/client', String(ports[server]), '1'])).code === 0, {
    what: `${server} to answer`,
  });
  if (isAgent(server)) {
    const ready = async (): Promise<boolean> =>
      (await node.exec(['bash', '-c', readyz(ports[server])])).stdout.includes('200 OK');
    await waitFor(ready, { what: 'the agent to see the node' });
  }
  return pid;
}

function isAgent(server: Server): boolean {
  return server === 'agent' || server === 'fleetAgent';
}

const podEnvironment = {
  KUBERNETES_SERVICE_HOST: '127.0.0.1',
  KUBERNETES_SERVICE_PORT: String(apiPort),
  KSA_NODE_NAME: 'bench',
};

/** An API server in the node's network, with the policy as its resource, and a token for the agent. */
async function startApiServer(node: TestNode, names: readonly string[]): Promise<ChildProcess> {
  const [cert, key] = [join(scratch, 'tls.crt'), join(scratch, 'tls.key')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const named = ['-subj', '/CN=api', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await execa('openssl', ['req', '-x509', ...curve, ...named, '-keyout', key, '-out', cert]);
  writeFileSync(join(scratch, 'policy.json'), JSON.stringify(policyObject(names)));
  const script = new URL('bench/api-server.ts', import.meta.url).pathname;
  const command = ['-t', String(node.pid), '-n', '--', process.execPath, script, scratch, String(apiPort)];
  const api = spawn('nsenter', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(api.stdout, 'data');
  const mount = '/var/run/secrets/kubernetes.io/serviceaccount';
  node.write(`${mount}/token`, 'token-1');
  node.write(`${mount}/namespace`, 'kubelet-sysctl-agent');
  node.write(`${mount}/ca.crt`, readFileSync(cert));
  return api;
}

const readyz = (port: number): string =>
  `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3`;

function commandOf(node: TestNode, server: Server, names: readonly string[]): readonly string[] {
  switch (server) {
    case 'agent':
    case 'fleetAgent': {
      // JSON is YAML.
      node.write('/opt/bench/policy.yaml', JSON.stringify(policyObject(names)));
      const [program = ''] = node.agentCommand([]);
      const policy = server === 'agent' ? ['--policy', '/opt/bench/policy.yaml'] : [];
      const listen = ['--listen', `127.0.0.1:${ports[server]}`];
      return [program, ...nodeFlags, '/opt/bench/agent.cjs', 'run', ...policy, ...listen];
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

function policyObject(names: readonly string[]): object {
  return {
    apiVersion: 'sysctl-agent.dev/v1alpha1',
    kind: 'NodeSysctlPolicy',
    metadata: { name: 'bench', generation: 1 },
    spec: {
      kubelet: { allowedUnsafeSysctls: [] },
      sysctls: names.map((name) => ({ name, value: current.get(name) })),
    },
  };
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

async function startTimes(
  node: TestNode,
  server: Server,
  names: readonly string[],
): Promise<readonly number[]> {
  const times: number[] = [];
  for (let run = 0; run < 11; run += 1) {
    const command = ['/opt/bench/start', String(ports[server]), ...commandOf(node, server, names)];
    const { code, stdout } = await node.exec(command, { env: isAgent(server) ? environment : {} });
    if (code !== 0) throw new Error(`${server} did not answer`);
    times.push(Number(stdout));
  }
  return times;
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
  if (values.only !== 'memory') await speed(node, names);
  if (values.only !== 'speed') await memory(node, names.slice(0, 100));
} finally {
  await node.dispose();
  processes.close();
  rmSync(scratch, { recursive: true, force: true });
}
