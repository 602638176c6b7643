import { once } from 'node:events';
import type { CommandResult, Commands, RunOptions } from '../../../agent/host/commands.ts';

/** What a fake program does with its arguments and input; `hangs` runs until its deadline or the abort. */
export type FakeProgram = (args: readonly string[], input: string) => CommandResult | 'hangs';

export interface FakeCommands extends Commands {
  /** Every run so far, in order. */
  readonly calls: readonly {
    readonly file: string;
    readonly args: readonly string[];
    readonly options: RunOptions;
  }[];
}

/** Programs by name; every other one is not there. A program that hangs without a signal times out at once. */
export function fakeCommands(programs: Readonly<Record<string, FakeProgram>>): FakeCommands {
  const calls: { file: string; args: readonly string[]; options: RunOptions }[] = [];
  return {
    calls,
    async run(file, args, options) {
      calls.push({ file, args, options });
      const program = programs[file];
      if (program === undefined) return { kind: 'notFound' };
      if (options.signal?.aborted === true) return { kind: 'failed', reason: 'aborted' };
      const result = program(args, options.input ?? '');
      if (result === 'hangs') return hang(options);
      const maxBytes = options.maxBytes ?? 1024 * 1024;
      if (result.kind === 'exited' && Math.max(result.stdout.length, result.stderr.length) > maxBytes) {
        return { kind: 'failed', reason: `wrote more than ${maxBytes} bytes` };
      }
      return result;
    },
  };
}

async function hang({ signal }: RunOptions): Promise<CommandResult> {
  if (signal === undefined) return { kind: 'timedOut' };
  await once(signal, 'abort');
  return { kind: 'failed', reason: 'aborted' };
}
