import type { KubeletProcess, ReadProcess } from '../../../agent/host/kubelet-process.ts';

export interface FakeProcesses {
  readonly read: ReadProcess;
  /** Starts a process; what is not given is plausible. Returns it. */
  start(process: Partial<KubeletProcess> & Pick<KubeletProcess, 'argv'>): KubeletProcess;
  /** Replaces the file of a running program, as a package upgrade does. */
  replaceExecutable(pid: number): void;
  stop(pid: number): void;
}

export function fakeProcesses(): FakeProcesses {
  const running = new Map<number, KubeletProcess>();
  let nextPid = 1000;
  return {
    read: (pid) => running.get(pid),
    start(process) {
      nextPid += 1;
      const started: KubeletProcess = {
        pid: nextPid,
        executable: process.argv[0] ?? '',
        executableDeleted: false,
        executableId: `1:${nextPid}`,
        startedAtMs: Date.UTC(2026, 0, 1) + nextPid,
        startTicks: nextPid,
        environment: {},
        ...process,
      };
      running.set(started.pid, started);
      return started;
    },
    replaceExecutable(pid) {
      const process = running.get(pid);
      if (process !== undefined) running.set(pid, { ...process, executableDeleted: true });
    },
    stop(pid) {
      running.delete(pid);
    },
  };
}
