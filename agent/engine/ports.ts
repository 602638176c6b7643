import type { Clock } from '../host/clock.ts';
import type { HostFiles } from '../host/files.ts';
import type { Healthz } from '../host/healthz.ts';
import type { KubeletProcess } from '../host/kubelet-process.ts';
import type { StateDirectory } from '../host/state-directory.ts';
import type { Sysctls } from '../host/sysctls.ts';
import type { Systemd } from '../host/systemd.ts';
import type { LogLine } from '../host/unit-log.ts';
import type { PlanOutcome } from '../plan/plan.ts';
import type { Journal } from '../transaction/journal.ts';
import type { ApplyStep, RollbackStep } from '../transaction/steps.ts';
import type { Deadlines } from '../transaction/timing.ts';

/** Everything a transaction touches; built in wire.ts, replaced by fakes in tests. */
export interface HostPorts {
  readonly files: HostFiles;
  readonly systemd: Systemd;
  readonly state: StateDirectory;
  readonly sysctls: Sysctls;
  readonly kubelet: KubeletPort;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly bootId: string;
}

/** The running kubelet, as far as probation looks at it. */
export interface KubeletPort {
  process(pid: number): Promise<KubeletProcess | undefined>;
  healthz(address: string, port: number): Promise<Healthz>;
  /** What the unit's processes wrote since, oldest first; empty where that cannot be read. */
  log(unit: string, sinceMs: number): Promise<readonly LogLine[]>;
}

/** What a transaction tells while it runs. `report` is awaited: nothing happens before it returns. */
export type TransactionEvent =
  | { readonly kind: 'planned'; readonly outcome: PlanOutcome }
  | { readonly kind: 'waiting'; readonly forMs: number; readonly why: string }
  | { readonly kind: 'stepStarted'; readonly step: ApplyStep | RollbackStep }
  | { readonly kind: 'stepFinished'; readonly step: ApplyStep | RollbackStep; readonly tookMs: number }
  | {
      readonly kind: 'stepFailed';
      readonly step: ApplyStep | RollbackStep;
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: 'auditFailed'; readonly message: string }
  | { readonly kind: 'closed'; readonly journal: Journal };

export type Report = (event: TransactionEvent) => Promise<void>;
