import { execa } from 'execa';
import { childrenOf } from './processes.ts';
import { waitFor } from './wait.ts';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** The command is killed and the call fails after this long (60 s unless told). */
  readonly deadlineMs?: number;
}

export interface RunResult {
  /** Exit code; 128 plus the number of the signal that ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs inside a node until it ends or is killed. */
export interface RunningCommand {
  /** Its process id as seen from outside the node; what `kill` reaches. */
  readonly pid: number;
  kill(signal?: NodeJS.Signals): void;
  /** What it wrote so far. */
  stdout(): string;
  stderr(): string;
  readonly result: Promise<RunResult>;
}

const environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  SYSTEMD_PAGER: '',
  SYSTEMD_COLORS: '0',
  SYSTEMD_LOG_COLOR: '0',
};

/** Starts a command in all namespaces of a process, with an environment of its own and `/` as its directory. */
export async function enterAndStart(
  leader: number,
  command: readonly string[],
  { env = {}, input, deadlineMs }: RunOptions = {},
): Promise<RunningCommand> {
  // tap puts a loader of this machine into the environment of everything that a test starts.
  const entering = execa(
    'nsenter',
    ['-t', String(leader), '-a', '--', 'env', '-u', 'NODE_OPTIONS', ...command],
    {
      reject: false,
      extendEnv: false,
      env: { ...environment, ...env },
      cwd: '/',
      stripFinalNewline: false,
      maxBuffer: 64 * 1024 * 1024,
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
    },
  );
  let stdout = '';
  let stderr = '';
  entering.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  entering.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  let ended = false;
  let late = false;
  let timer: NodeJS.Timeout | undefined;
  const result = entering.then((done): RunResult => {
    ended = true;
    clearTimeout(timer);
    if (late) {
      throw new Error(`${command.join(' ')} did not end in ${deadlineMs} ms\n${stdout}${stderr}`);
    }
    const code = done.exitCode ?? 128 + signalNumber(done.signal);
    return { code, stdout, stderr };
  });
  result.catch(() => undefined); // whoever awaits it still sees the failure

  // nsenter forks to get into the PID namespace, and does not hand signals on: find the command itself.
  const outer = entering.pid;
  if (outer === undefined) throw new Error(`cannot run nsenter: ${(await entering).message ?? ''}`);
  const pid = await waitFor(() => (ended ? outer : childrenOf(outer)[0]), { what: 'nsenter to fork' });
  const kill = (signal: NodeJS.Signals = 'SIGKILL'): void => {
    if (!ended && pid !== outer) process.kill(pid, signal);
  };
  if (deadlineMs !== undefined && !ended) {
    timer = setTimeout(() => {
      late = true;
      kill();
    }, deadlineMs);
  }
  return { pid, kill, stdout: () => stdout, stderr: () => stderr, result };
}

/** Runs a command in all namespaces of a process to its end. */
export async function enterAndRun(
  leader: number,
  command: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return (await enterAndStart(leader, command, { deadlineMs: 60_000, ...options })).result;
}

function signalNumber(signal: string | undefined): number {
  const numbers: Readonly<Record<string, number>> = { SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
  return numbers[signal ?? ''] ?? 127;
}
