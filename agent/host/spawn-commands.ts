import { spawn } from 'node:child_process';
import type { CommandResult, Commands, RunOptions } from './commands.ts';

/**
 * The same promises as systemCommands, without execa: 3.5 MiB on every node all day are too much for one
 * `kubelet --version` an hour (docs/performance.md). Only `run` takes it; the contract tests run over both.
 */
export const spawnCommands: Commands = {
  async run(file, args, options) {
    if (options.signal?.aborted === true) return { kind: 'failed', reason: 'aborted' };
    return new Promise<CommandResult>((resolve) => {
      const child = spawn(file, args, {
        cwd: '/',
        env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
        stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
        // A process group of its own, so that all that it starts can be killed with it.
        detached: true,
      });
      const running = new Running(options, () => {
        killGroup(child.pid);
      });
      child.stdout?.on('data', (chunk: Buffer) => {
        running.take('stdout', chunk);
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        running.take('stderr', chunk);
      });
      child.on('error', (error: NodeJS.ErrnoException) => {
        resolve(
          running.end(
            error.code === 'ENOENT' ? { kind: 'notFound' } : { kind: 'failed', reason: error.message },
          ),
        );
      });
      child.on('close', (code, signal) => {
        resolve(running.end(running.exited(code, signal)));
      });
      // A program may end without reading all of its input.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.input);
    });
  },
};

/** One run: gathers output, and ends the program when its time or its room is up. */
class Running {
  private readonly maxBytes: number;
  private readonly kill: () => void;
  private readonly timer: NodeJS.Timeout;
  private readonly signal: AbortSignal | undefined;
  private readonly chunks: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  private readonly sizes = { stdout: 0, stderr: 0 };
  private cut: CommandResult | undefined;

  constructor({ deadlineMs, maxBytes = 1024 * 1024, signal }: RunOptions, kill: () => void) {
    this.maxBytes = maxBytes;
    this.kill = kill;
    this.signal = signal;
    this.timer = setTimeout(() => {
      this.stop({ kind: 'timedOut' });
    }, deadlineMs);
    signal?.addEventListener('abort', this.aborted);
  }

  take(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this.sizes[stream] += chunk.length;
    if (this.sizes[stream] > this.maxBytes)
      this.stop({ kind: 'failed', reason: `wrote more than ${this.maxBytes} bytes` });
    else this.chunks[stream].push(chunk);
  }

  exited(code: number | null, signal: NodeJS.Signals | null): CommandResult {
    if (code === null) return { kind: 'failed', reason: `killed by ${signal ?? 'a signal'}` };
    const text = (stream: 'stdout' | 'stderr'): string => Buffer.concat(this.chunks[stream]).toString('utf8');
    return { kind: 'exited', code, stdout: text('stdout'), stderr: text('stderr') };
  }

  /** What was decided first counts: the end of a killed program is no news. */
  end(result: CommandResult): CommandResult {
    clearTimeout(this.timer);
    this.signal?.removeEventListener('abort', this.aborted);
    return this.cut ?? result;
  }

  private readonly aborted = (): void => {
    this.stop({ kind: 'failed', reason: 'aborted' });
  };

  private stop(result: CommandResult): void {
    this.cut ??= result;
    this.kill();
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
