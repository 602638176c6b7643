/**
 * The real engine and the real adapters with short deadlines, told to die at one exact point. It is bundled and run
 * inside a throw-away node: `node agent-under-test.cjs '{"allow":["net.core.somaxconn"],"killAt":"before:reload"}'`.
 */
import { existsSync, rmSync } from 'node:fs';
import { applyPolicy } from '../../agent/engine/apply.ts';
import type { TransactionEvent } from '../../agent/engine/ports.ts';
import { problemOf } from '../../agent/errors.ts';
import { systemClock } from '../../agent/host/clock.ts';
import { mergeForNode } from '../../agent/policy/merge.ts';
import { policyFromFlags } from '../../agent/policy/from-flags.ts';
import type { Deadlines } from '../../agent/transaction/timing.ts';
import { connectNode } from '../../agent/wire.ts';
import { pointOf } from '../support/points.ts';

export interface Order {
  readonly allow: readonly string[];
  readonly sysctl?: readonly string[];
  readonly probation?: string;
  readonly deadlines?: Partial<Deadlines>;
  /** `before:STEP` or `after:STEP`; absent: runs to its end. */
  readonly killAt?: string;
  /** Instead of dying: stop at the point, print `paused`, and go on when /run/go-on appears. */
  readonly pauseAt?: string;
  readonly force?: readonly ['PLAN_LATCHED'];
}

const quick: Deadlines = {
  callMs: 2_000,
  reloadMs: 4_000,
  restartMs: 4_000,
  graceMs: 4_000,
  watchdogSlackMs: 1_000,
  sampleMs: 100,
};

async function main(): Promise<void> {
  const order = JSON.parse(process.argv[2] ?? '{}') as Order;
  const flags = policyFromFlags({
    allow: order.allow,
    sysctl: order.sysctl ?? [],
    probation: order.probation ?? '1s',
  });
  const merged = mergeForNode(flags.policies);
  if (!merged.ok || flags.problems.length > 0) throw new Error(JSON.stringify([flags.problems, merged]));
  const node = await connectNode({ root: '/', deadlines: { ...quick, ...order.deadlines } });
  const host = await node.transactions();
  const lock = await host.state.lock();
  const seen: string[] = [];
  const report = async (event: TransactionEvent): Promise<void> => {
    const point = pointOf(event);
    if (point === undefined) return;
    seen.push(point);
    process.stderr.write(`${point}\n`);
    if (point === order.killAt) process.kill(process.pid, 'SIGKILL');
    if (point === order.pauseAt) await pause();
  };
  try {
    const outcome = await applyPolicy(host, node.observation, {
      policy: merged.policy,
      force: order.force ?? [],
      requestedBy: 'chaos test',
      report,
      signal: new AbortController().signal,
    });
    process.stdout.write(`${JSON.stringify({ outcome, seen })}\n`);
  } finally {
    await lock.release();
    await node.close();
  }
}

async function pause(): Promise<void> {
  process.stdout.write('paused\n');
  while (!existsSync('/run/go-on')) await systemClock.sleep(20);
  rmSync('/run/go-on');
}

main().catch((error: unknown) => {
  process.stdout.write(
    `${JSON.stringify({ outcome: { kind: 'threw', problem: problemOf(error), stack: String(error instanceof Error ? error.stack : '') } })}\n`,
  );
  process.exit(1);
});
