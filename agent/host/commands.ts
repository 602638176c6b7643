import { execa, type Result } from 'execa';

/** Runs programs. The one home of execa; expected outcomes are values, nothing here throws for them. */
export interface Commands {
  run(file: string, args: readonly string[], options: RunOptions): Promise<CommandResult>;
}

export interface RunOptions {
  /** After this many milliseconds the program and all that it started are killed. */
  readonly deadlineMs: number;
  /** Written to its standard input; without it standard input is empty. */
  readonly input?: string;
  /** Kills the program and all that it started; the result is `failed`. */
  readonly signal?: AbortSignal;
  /** Of standard output and of standard error each; one byte more and the result is `failed`. Default 1 MiB. */
  readonly maxBytes?: number;
}

export type CommandResult =
  | { readonly kind: 'exited'; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'timedOut' }
  /** No such program (or the interpreter that its first line names). */
  | { readonly kind: 'notFound' }
  /** Not executable, killed by a signal, aborted, or wrote too much; the reason is for people. */
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * Programs of this machine, without a shell, in `/` and with a fixed environment: what the agent was started with
 * (proxies, LD_PRELOAD, NODE_OPTIONS, a translated locale) must not reach a program that we run as root.
 */
export const systemCommands: Commands = {
  async run(file, args, options) {
    const result = await execa(file, args, {
      reject: false,
      extendEnv: false,
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      cwd: '/',
      stripFinalNewline: false,
      maxBuffer: options.maxBytes ?? 1024 * 1024,
      timeout: options.deadlineMs,
      // A child that outlives a killed program would keep our pipe, and so this promise, open.
      killDescendants: true,
      killSignal: 'SIGKILL',
      ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    return commandResult(result, options);
  },
};

/** What is looked at of execa's result; its own type varies with every option that was given. */
type Outcome = Pick<
  Result,
  'timedOut' | 'isCanceled' | 'isMaxBuffer' | 'exitCode' | 'signal' | 'code' | 'originalMessage'
> & {
  readonly stdout?: string | undefined;
  readonly stderr?: string | undefined;
};

function commandResult(result: Outcome, options: RunOptions): CommandResult {
  if (result.timedOut) return { kind: 'timedOut' };
  if (result.isCanceled) return { kind: 'failed', reason: 'aborted' };
  if (result.isMaxBuffer)
    return { kind: 'failed', reason: `wrote more than ${options.maxBytes ?? 1024 * 1024} bytes` };
  if (result.code === 'ENOENT') return { kind: 'notFound' };
  if (result.exitCode !== undefined) {
    const { stdout, stderr } = result;
    return { kind: 'exited', code: result.exitCode, stdout: stdout ?? '', stderr: stderr ?? '' };
  }
  if (result.signal !== undefined) return { kind: 'failed', reason: `killed by ${result.signal}` };
  return { kind: 'failed', reason: result.originalMessage ?? 'could not be started' };
}
