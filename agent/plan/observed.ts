import type { StartConditions } from './start-conditions.ts';

/**
 * What is known of a node at one moment, as plain JSON. Filled by engine/observe from D-Bus, files and /proc;
 * read by the planner. Nothing here is guessed: what could not be learnt is undefined or says so.
 */

/** One ExecX= command as systemd holds it: after unquoting and % expansion, before $ expansion. */
export interface LoadedCommand {
  readonly path: string;
  readonly argv: readonly string[];
  /** From ExecStartEx: `ignore-failure`, `privileged`, `no-setuid`, `no-env-expand`, `ambient`. */
  readonly flags: readonly string[];
}

export interface EnvironmentFileRef {
  readonly path: string;
  readonly optional: boolean;
}

/** A unit as systemd has it loaded. Durations in milliseconds; ids as systemd spells them. */
export interface LoadedUnit {
  readonly id: string;
  readonly names: readonly string[];
  readonly loadState: string;
  readonly loadError: string;
  readonly activeState: string;
  readonly subState: string;
  readonly fragmentPath: string;
  readonly dropInPaths: readonly string[];
  readonly needDaemonReload: boolean;
  readonly unitFileState: string;
  /** Hex; empty before the first start. */
  readonly invocationId: string;
  readonly jobQueued: boolean;
  /** Neither RefuseManualStart= nor RefuseManualStop=: systemd restarts it when it is asked to. */
  readonly mayRestart: boolean;
  readonly startLimitBurst: number;
  readonly startLimitIntervalMs: number;
  readonly type: string;
  readonly restart: string;
  readonly restartMs: number;
  readonly startTimeoutMs: number;
  readonly killMode: string;
  readonly mainPid: number;
  readonly nRestarts: number;
  /** Realtime; 0 before the first start. */
  readonly mainStartedAtMs: number;
  readonly execStart: readonly LoadedCommand[];
  readonly execStartPre: readonly LoadedCommand[];
  readonly execStop: readonly LoadedCommand[];
  readonly execStopPost: readonly LoadedCommand[];
  readonly environment: readonly string[];
  /** What systemd's manager gives every service (DefaultEnvironment=, `systemctl set-environment`). */
  readonly managerEnvironment?: readonly string[];
  readonly environmentFiles: readonly EnvironmentFileRef[];
  /** Every other setting that our edit must leave alone, as canonical JSON by property name. */
  readonly settings: Readonly<Record<string, string>>;
}

/** A text file on the node; `path` is where systemd or the kubelet names it, `realPath` where the bytes are. */
export interface ObservedFile {
  readonly path: string;
  readonly realPath: string;
  readonly text: string;
  readonly sha256: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  /** False where the file system is mounted read-only or the directory cannot be written. */
  readonly writable: boolean;
}

/** The running kubelet process. */
export interface ObservedProcess {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly executable: string;
  readonly executableDeleted: boolean;
  /** Of its environment only what the unit's command line names with `$`; the rest may be secret. */
  readonly variables: Readonly<Record<string, string>>;
}

export type ObservedHealth = 'ok' | 'off' | 'unhealthy' | 'unknown';

export type ObservedReading =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'unreadable'; readonly reason: string };

export interface ObservedPod {
  readonly namespace: string;
  readonly name: string;
  readonly sysctls: Readonly<Record<string, string>>;
}

export type ObservedPods =
  | { readonly kind: 'known'; readonly pods: readonly ObservedPod[]; readonly from: string }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface ObservedNode {
  /** `running`: a systemd answers under the root. `image`: files only, nothing runs there. */
  readonly mode: 'running' | 'image';
  readonly root: string;
  readonly unitName: string;
  readonly systemdVersion: number | undefined;
  /** False where /etc is mounted read-only. */
  readonly etcWritable: boolean;
  /** Only of a running kubelet. */
  readonly startConditions?: StartConditions;
  /** Undefined when systemd (or the image) has no such unit. */
  readonly unit: LoadedUnit | undefined;
  /** Fragment first, then drop-ins in load order. */
  readonly unitFiles: readonly ObservedFile[];
  /** Files named by the unit that could not be read, with the reason. */
  readonly unreadable: readonly { readonly path: string; readonly reason: string }[];
  readonly environmentFiles: readonly ObservedFile[];
  readonly kubeletConfig: ObservedFile | undefined;
  readonly kubeletConfigDropIns: readonly ObservedFile[];
  readonly process: ObservedProcess | undefined;
  readonly kubeletVersion: string | undefined;
  readonly kernelRelease: string | undefined;
  readonly health: ObservedHealth;
  /** Where /healthz listens, from flags and configuration. */
  readonly healthz: { readonly address: string; readonly port: number };
  readonly pods: ObservedPods;
  /** Readings of every sysctl that the policy names (and of the kernel defaults the kubelet protects). */
  readonly sysctls: Readonly<Record<string, ObservedReading>>;
  readonly sysctlsVia: 'direct' | 'nsenter' | 'none';
  /** Our own sysctl.d file, where it exists. */
  readonly sysctlFile: ObservedFile | undefined;
  /** k3s, rke2, microk8s: the files that hold the kubelet's arguments, in the order in which they count. */
  readonly distributionFiles?: readonly ObservedFile[];
  /**
   * What is found at paths that tell who owns this kubelet and what the command's program is: the first 4 KiB, nothing
   * where only the presence counts, `directory` for a directory that a flag names.
   */
  readonly marks: Readonly<Record<string, string>>;
}
