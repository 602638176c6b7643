import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import {
  bootNode,
  realKubelet,
  type RunningCommand,
  type Teardown,
  type TestNode,
} from '../node/support/node.ts';
import { projectDirectory } from '../node/support/project.ts';
import type { Order } from './agent-under-test.ts';

export { nodeTierUnavailable, realKubelet } from '../node/support/node.ts';

const unitPath = '/etc/systemd/system/kubelet.service';
const stateDirectory = '/var/lib/kubelet-sysctl-agent';
export const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';
const bundle = join(projectDirectory, '.work', 'chaos', 'agent-under-test.cjs');
let built: Promise<unknown> | undefined;

/** A node with the layout `quick` and the agent under test on it. */
export interface ChaosNode {
  readonly node: TestNode;
  /** The unit's bytes before anything happened. */
  readonly before: string;
  /** The bytes that an apply of `net.core.somaxconn` must write. */
  readonly after: string;
  run(
    order: Partial<Order>,
  ): Promise<{ killed: boolean; outcome: Outcome | undefined; text: string; seen: readonly string[] }>;
  start(order: Partial<Order>): Promise<RunningCommand>;
  /** What a person would find: file, process, marks of an unfinished transaction. */
  find(): Promise<Finding>;
  /** Fires the watchdog now instead of at its time. */
  fireWatchdog(): Promise<void>;
  /** Whether the watchdog has said its last word. */
  watchdogIsDone(): Promise<boolean>;
}

export interface Outcome {
  readonly kind: string;
  readonly problem?: { readonly code: string; readonly message: string };
  readonly problems?: readonly { readonly code: string; readonly message: string }[];
  readonly journal?: {
    readonly state: string;
    readonly verdict?: { readonly kind: string; readonly by: string; readonly code?: string };
  };
}

export interface Finding {
  readonly file: 'old' | 'new' | 'other';
  readonly process: 'old' | 'new' | 'none';
  readonly litter: readonly string[];
}

export async function chaosNode(
  test: Teardown,
  options: { layout?: string; faults?: readonly string[] } = {},
): Promise<ChaosNode> {
  mkdirSync(join(projectDirectory, '.work', 'chaos'), { recursive: true });
  built ??= build({
    entryPoints: [join(projectDirectory, 'test/chaos/agent-under-test.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    outfile: bundle,
    logLevel: 'warning',
  });
  await built;
  const node = await bootNode({ layout: options.layout ?? 'quick', faults: options.faults ?? [] }, test);
  node.write('/opt/chaos.cjs', readFileSync(bundle));
  const before = node.read(unitPath).toString();
  const after = before.replace('  --node-ip=192.0.2.10\n', `  --node-ip=192.0.2.10 \\\n  ${flag}\n`);
  const command = (order: Partial<Order>): string[] => [
    '/opt/agent/node',
    '/opt/chaos.cjs',
    JSON.stringify({ allow: ['net.core.somaxconn'], ...order }),
  ];

  return {
    node,
    before,
    after,
    async run(order) {
      const { code, stdout, stderr } = await node.exec(command(order), { deadlineMs: 90_000 });
      const last = stdout.trim().split('\n').at(-1) ?? '';
      const parsed = last.startsWith('{')
        ? (JSON.parse(last) as { outcome: Outcome; seen?: readonly string[] })
        : undefined;
      return {
        killed: code === 137 && parsed === undefined,
        outcome: parsed?.outcome,
        seen: parsed?.seen ?? [],
        text: summaryOf(code, parsed, stderr),
      };
    },
    start: async (order) => node.spawn(command(order)),
    async find() {
      const text = node.exists(unitPath) ? node.read(unitPath).toString() : '';
      const argv = await node.exec([
        'sh',
        '-c',
        'cat /proc/$(systemctl show -P MainPID kubelet.service)/cmdline',
      ]);
      const litter = await node.exec([
        'sh',
        '-c',
        `ls -A /etc/systemd/system | grep -e sysctl-agent -e tmp$; ls ${stateDirectory}/backup/*/armed ${stateDirectory}/backup/*/fired ${stateDirectory}/backup/*/reverting ${stateDirectory}/lock 2>/dev/null; systemctl list-units --all --plain --no-legend 'kubelet-sysctl-agent-watchdog.timer'; true`,
      ]);
      return {
        file: text === before ? 'old' : text === after ? 'new' : 'other',
        process: argv.code !== 0 || argv.stdout === '' ? 'none' : argv.stdout.includes(flag) ? 'new' : 'old',
        litter: litter.stdout.split('\n').filter((line) => line !== ''),
      };
    },
    async watchdogIsDone() {
      return (await node.exec(['sh', '-c', `ls ${stateDirectory}/backup/*/restored`])).code === 0;
    },
    async fireWatchdog() {
      const watchdog = 'kubelet-sysctl-agent-watchdog.service';
      await node.exec(['systemctl', 'start', watchdog], { deadlineMs: 30_000 });
      // A simple service counts as started long before its script has ended.
      await node.waitFor(
        async () => {
          const state = await node.exec(['systemctl', 'show', '-P', 'ActiveState', watchdog]);
          return !/^(active|activating)$/.test(state.stdout.trim());
        },
        { what: 'the watchdog to finish', deadlineMs: 30_000 },
      );
    },
  };
}

function summaryOf(
  code: number,
  parsed: { outcome: Outcome; seen?: readonly string[] } | undefined,
  stderr: string,
): string {
  const problem = parsed?.outcome.problem ?? parsed?.outcome.problems?.[0];
  return `exit ${code}: ${parsed?.outcome.kind ?? 'no outcome'} ${problem === undefined ? '' : `${problem.code} ${problem.message}`} [${(parsed?.seen ?? []).join(' ')}] ${stderr}`;
}

/** Subtests that mostly wait: several at a time. */
export const sideBySide = { buffered: true } as const;

/**
 * How many nodes at a time. A node with a real kubelet and a container runtime takes 14 inotify instances, and Linux
 * gives a user 128 unless told otherwise (fs.inotify.max_user_instances).
 */
export function atOnce(nodes: number): number {
  return realKubelet() === undefined ? nodes : Math.min(nodes, 2);
}
