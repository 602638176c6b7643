import { readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from the machine's boot to the start of the process (proc(5), field 22 of stat). */
  readonly start: string;
  readonly bootId: string;
}

/** Who a running process is; undefined when there is none with that number. */
export function identify(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid);
  if (fields === undefined || fields.state === 'Z' || fields.state === 'X') return undefined;
  return { pid, start: fields.start, bootId: machineBootId() };
}

export function isRunning(process: ProcessIdentity): boolean {
  const now = identify(process.pid);
  return now !== undefined && now.start === process.start && now.bootId === process.bootId;
}

/** SIGKILL for exactly this process; nothing when it is gone already. */
export function killProcess(target: ProcessIdentity): void {
  if (!isRunning(target)) return;
  try {
    process.kill(target.pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export function childrenOf(pid: number): number[] {
  const text = readOrUndefined(`/proc/${pid}/task/${pid}/children`) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** Whether the process is the first one of a PID namespace below ours. */
export function isNamespaceInit(pid: number): boolean {
  const line = readOrUndefined(`/proc/${pid}/status`)?.match(/^NSpid:\s*(.*)$/m)?.[1];
  const numbers = line?.split(/\s+/) ?? [];
  return numbers.length > 1 && numbers.at(-1) === '1';
}

function statFields(pid: number): { state: string; start: string } | undefined {
  const text = readOrUndefined(`/proc/${pid}/stat`);
  // The command's name stands in parentheses and may hold blanks and parentheses itself.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  const start = fields?.[19];
  return state === undefined || start === undefined ? undefined : { state, start };
}

function machineBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
