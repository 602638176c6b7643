import { randomInt } from 'node:crypto';
import { localGate } from '../engine/gate.ts';
import { loopHealth } from '../engine/loop-health.ts';
import { loopMetrics } from '../engine/loop-metrics.ts';
import type { LoopLog, LoopPorts } from '../engine/loop-ports.ts';
import type { NodeLoop } from '../engine/loop.ts';
import { withPodsOfCluster } from '../engine/pods-in-use.ts';
import { rememberVersion } from '../engine/remember-version.ts';
import { type Problem, problemOf } from '../errors.ts';
import { afterScrapes } from '../metrics/after-scrapes.ts';
import { metricRegistry, single } from '../metrics/registry.ts';
import { serveMetrics } from '../metrics/server.ts';
import { tidyHeap } from '../host/tidy-heap.ts';
import { spawnCommands } from '../host/spawn-commands.ts';
import { type SysctlSeries, sysctlSeries } from '../metrics/sysctl-series.ts';
import { tlsServer } from '../metrics/tls.ts';
import { backoffMs } from '../transaction/loop-delays.ts';
import { loopDefaults } from '../transaction/loop-position.ts';
import type { NodeConnection } from '../wire.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts';
import { renderProblem } from './render-problem.ts';
import { scrapeAuthorizer } from './run-authorization.ts';
import { openLoopLog } from './run-log.ts';
import { type FleetPorts, fleetPorts } from './run-cluster.ts';
import { policiesByChild } from './policy-child.ts';
import type { RunArguments } from './run-options.ts';
import { notServed, usageProblems } from './run-usage.ts';

/** `run`: watches this node until a signal ends it. Serves metrics first, and waits for a systemd that is not there yet. */
export async function run(context: CliContext, options: RunArguments): Promise<ExitCode> {
  const problems = usageProblems(options, context.inCluster);
  const [problem] = problems;
  if (problem !== undefined) {
    const { columns: width, colour } = context.stderr;
    writeLines(
      context.stderr,
      problems.flatMap((each) => renderProblem(each, 'error', { width, colour })),
    );
    return exitCodeOf(problem);
  }
  const log = await openLoopLog(context.stderr, options.logLevel);
  const registry = metricRegistry();
  const shown: { series: SysctlSeries | undefined; loop: NodeLoop | undefined } = {
    series: undefined,
    loop: undefined,
  };
  const publish = loopMetrics({
    registry,
    version: context.agentVersion,
    policy: ({ sysctls }) => {
      const read = { read: (index: number) => shown.loop?.eyes?.read(index) ?? unread };
      shown.series = sysctlSeries(sysctls, read, () => shown.loop?.notice());
    },
  });
  const health = (): ReturnType<typeof loopHealth> => {
    const { loop } = shown;
    if (loop !== undefined)
      return loopHealth(loop.pulse(), context.clock.monotonic(), loopDefaults.wholeLookMs);
    return { alive: { ok: true, message: 'ok' }, ready: { ok: false, message: 'not connected to systemd' } };
  };
  context.holdSignals();
  const server = await serveMetrics(
    {
      text: async () => registry.text(),
      live: () => shown.series?.write() ?? nothing,
      scraped: afterScrapes(tidyHeap, { most: 20, quietMs: 200 }),
      alive: () => health().alive,
      ready: () => health().ready,
    },
    {
      ...options.listen,
      authorizer: await scrapeAuthorizer(context, options, log),
      tls:
        options.tlsCertFile === undefined || options.tlsKeyFile === undefined
          ? undefined
          : tlsServer({
              certFile: options.tlsCertFile,
              keyFile: options.tlsKeyFile,
              failed: (reason) => {
                log('error', 'tlsNotReloaded', {}, reason);
              },
            }),
    },
  ).catch((error: unknown) => {
    throw notServed(options, error);
  });
  log(
    'info',
    'started',
    { version: context.agentVersion, node: context.nodeName, port: server.port },
    'serving metrics',
  );
  publish.state('starting');
  registry.set('policyValid', single(1));
  const connected = await connect(context, options, log, (problem) => {
    publish.lookFailed(problem.code);
    publish.state('blind');
  });
  if (connected !== undefined) {
    const ports = await portsOf(context, options, connected, log, publish);
    // Here and not above: reading units and configurations is half of the program, and scrapers need not wait for it.
    const { NodeLoop: Loop } = await import('../engine/loop.ts');
    const loop = new Loop(ports, {
      ...loopDefaults,
      cycleMs: options.interval,
      dryRun: options.dryRun === true,
    });
    shown.loop = loop;
    await Promise.race([loop.run(context.signal), aborted(context.signal)]);
    ports.leave();
  }
  log('info', 'stopped', {}, 'stopped by a signal; a transaction under way is left to its watchdog');
  return exitCodes.done;
}

const nothing = Buffer.alloc(0);
const unread = { kind: 'unreadable', reason: 'wrongNamespace' } as const;

interface Connected {
  readonly node: NodeConnection;
  readonly host: LoopPorts['host'];
}

/** A bus that is away at start is waited for: an agent that exits shows nothing at all. Undefined: a signal came first. */
async function connect(
  context: CliContext,
  options: RunArguments,
  log: LoopLog,
  failed: (problem: Problem) => void,
): Promise<Connected | undefined> {
  for (let attempt = 1; !context.signal.aborted; attempt += 1) {
    try {
      const node = await context.connectNode({ root: options.root, longRunning: true });
      return { node, host: await node.transactions() };
    } catch (error) {
      const problem = problemOf(error);
      log('error', 'notConnected', { code: problem.code, next: problem.next }, problem.message);
      failed(problem);
      await context.clock
        .sleep(Math.min(backoffMs(attempt, 0.5), 60_000), context.signal)
        .catch(() => undefined);
    }
  }
  return undefined;
}

async function portsOf(
  context: CliContext,
  options: RunArguments,
  { node, host }: Connected,
  log: LoopLog,
  publish: LoopPorts['publish'],
): Promise<LoopPorts & Pick<FleetPorts, 'leave'>> {
  const { configz: port, configzTokenFile: tokenFile, configzCaFile: caFile } = options;
  const random = (): number => randomInt(2 ** 32) / 2 ** 32;
  const fleet = await fleetPorts(context, options, log, random, {
    policies: policiesByChild(spawnCommands, options),
    gate: localGate({
      clock: context.clock,
      splayMs: options.splay,
      random,
      warn: (message, delayMs) => {
        log('warn', 'noCoordination', { delayMs }, message);
      },
    }),
  });
  return {
    ...node.watching,
    host,
    ...fleet,
    observation: withPodsOfCluster(rememberVersion(node.observation), fleet.pods),
    runtimePods: node.observation.runningPods,
    publish,
    log,
    requestedBy: context.requestedBy,
    tidy: tidyHeap,
    random,
    async configz() {
      if (port === undefined) return { kind: 'unknown', reason: 'not asked: --configz names no port' };
      const { readConfigz } = await import('../host/configz.ts');
      const answer = await readConfigz({ port, tokenFile, caFile, deadlineMs: 5_000 });
      return answer.kind === 'unknown'
        ? answer
        : { kind: 'known', entries: answer.allowedUnsafeSysctls, holder: undefined };
    },
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}
