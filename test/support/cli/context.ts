import type { CliContext, Sink } from '../../../agent/cli/context.ts';
import { runProgram } from '../../../agent/cli/program.ts';
import { systemCommands } from '../../../agent/host/commands.ts';
import { AgentError } from '../../../agent/errors.ts';
import { connectNode } from '../../../agent/wire.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A sink that keeps what is written; no terminal, 80 columns, no colours unless told. */
export function keepingSink(
  look: Partial<Pick<Sink, 'isTerminal' | 'columns' | 'colour'>> = {},
): Sink & { text(): string } {
  let kept = '';
  return {
    isTerminal: false,
    columns: 80,
    colour: false,
    ...look,
    write(text) {
      kept += text;
    },
    text: () => kept,
  };
}

/** Runs one command line in this process, at a fixed time; images are real, a running node is not to be had. */
export async function run(argv: readonly string[], replaced: Partial<CliContext> = {}): Promise<Ran> {
  const stdout = keepingSink();
  const stderr = keepingSink();
  const context: CliContext = {
    stdout,
    stderr,
    clock: {
      now: () => Date.UTC(2026, 0, 2, 3, 4, 5),
      monotonic: () => 0,
      sleep: async () => Promise.resolve(),
    },
    signal: new AbortController().signal,
    holdSignals: () => undefined,
    agentVersion: '1.2.3',
    nodeName: 'node-a',
    requestedBy: 'alice',
    commands: async () => Promise.resolve(systemCommands),
    inCluster: false,
    connectCluster: async () => Promise.resolve(undefined),
    scrapeReviews: async () => Promise.reject(new AgentError('API_UNREACHABLE', 'no cluster in this test')),
    connectSlots: async () => Promise.reject(new AgentError('API_UNREACHABLE', 'no cluster in this test')),
    connectFleet: async () => Promise.reject(new AgentError('API_UNREACHABLE', 'no cluster in this test')),
    connectNode: async (options) => {
      if (options.root !== '/') return connectNode(options);
      throw new AgentError('SYSTEMD_UNREACHABLE', 'no node in this test');
    },
    ...replaced,
  };
  const code = await runProgram(argv, context);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}
