import { existsSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import type { CliContext, Sink } from './cli/context.ts';
import { runProgram } from './cli/program.ts';
import { systemClock } from './host/clock.ts';

/** Filled in by the build. */
declare const AGENT_VERSION: string | undefined;

// argv → exit code. Nothing below this file reads process.argv or ends the process.
const interruption = new AbortController();
let signalsHeld = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe);
void main();

async function main(): Promise<void> {
  process.exitCode = await runProgram(process.argv.slice(2), contextOf(process.env));
  // A transaction that `run` was in the middle of is left to its journal and to the watchdog.
  if (interruption.signal.aborted) process.exit();
}

/** The first signal rolls back a transaction under way. The second ends us at once: the watchdog carries the rest. */
function interrupt(): void {
  if (!signalsHeld || interruption.signal.aborted) process.exit(130);
  interruption.abort(new Error('stopped by a signal'));
}

/** Whoever read our output may leave (`| head`, a lost terminal): that must not stop a transaction half-way. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}

function contextOf(env: NodeJS.ProcessEnv): CliContext {
  const nodeName = env['KSA_NODE_NAME'] || env['NODE_NAME'] || hostname();
  const agentVersion = typeof AGENT_VERSION === 'undefined' ? 'dev' : AGENT_VERSION;
  /** What every connection to an API server is made with. */
  const client = { env, clock: systemClock, random: Math.random, agentVersion };
  return {
    stdout: sinkOf(process.stdout, env),
    stderr: sinkOf(process.stderr, env),
    clock: systemClock,
    signal: interruption.signal,
    holdSignals: () => {
      signalsHeld = true;
    },
    agentVersion,
    nodeName,
    requestedBy: env['KSA_REQUESTED_BY'] || (env['SUDO_USER'] ? `${env['SUDO_USER']} (sudo)` : userName()),
    commands: async () => (await import('./host/commands.ts')).systemCommands,
    connectNode: async (options) => (await import('./wire.ts')).connectNode(options),
    inCluster: isInCluster(env),
    connectCluster: async (options) =>
      isInCluster(env)
        ? (await import('./cluster/connect.ts')).connectCluster({ ...client, nodeName, ...options })
        : undefined,
    scrapeReviews: async () => (await import('./cluster/authorizer.ts')).scrapeReviews(client),
    connectSlots: async (options) =>
      (await import('./cluster/connect-slots.ts')).connectSlots({ ...client, nodeName, ...options }),
    connectFleet: async (options) =>
      (await import('./cluster/connect-fleet.ts')).connectFleet({ ...client, ...options }),
  };
}

/** A pod that was given no token (automountServiceAccountToken: false) is not meant to talk to the API server. */
function isInCluster(env: NodeJS.ProcessEnv): boolean {
  return (
    Boolean(env['KUBERNETES_SERVICE_HOST']) &&
    existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')
  );
}

function sinkOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Sink {
  // Wider lines are no easier to read; a stream that is no terminal has no width, and some have 0.
  const columns = Math.max(40, Math.min(stream.columns || 80, 80));
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY && env['TERM'] !== 'dumb',
    columns,
    colour: stream.isTTY && env['TERM'] !== 'dumb' && !env['NO_COLOR'],
  };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user need not be in /etc/passwd.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
