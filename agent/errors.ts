/**
 * The closed set of codes that name everything that can go wrong. A code is the `code` in JSON, the label of
 * `sysctl_agent_rollbacks_total` and what `--force` takes; it is never derived from a message.
 */
export const errorCodes = [
  // the policy
  'POLICY_UNREADABLE',
  'POLICY_INVALID',
  'POLICY_CONFLICT',
  'ENTRY_MALFORMED',
  'ENTRY_NOT_NAMESPACED',
  'SYSCTL_NAME_INVALID',
  'SYSCTL_VALUE_INVALID',
  // what is found on the node
  'SYSTEMD_UNREACHABLE',
  'SYSTEMD_CALL_FAILED',
  'UNIT_NOT_FOUND',
  'UNIT_NOT_LOADED',
  'UNIT_MASKED',
  'UNIT_NOT_ACTIVE',
  'UNIT_UNSTABLE',
  'UNIT_JOB_QUEUED',
  'UNIT_NOT_RESTARTABLE',
  'UNIT_NEEDS_RELOAD',
  'UNIT_CHANGED_SINCE_START',
  'UNIT_WRAPPED',
  'UNIT_STOP_UNSAFE',
  'UNIT_UNREADABLE',
  'UNIT_DISAGREES',
  'UNIT_OWNED',
  'UNIT_HAS_NO_COMMAND',
  'KUBELET_NOT_FOUND',
  'KUBELET_BINARY_CHANGED',
  'KUBELET_UNHEALTHY',
  'KUBELET_WOULD_NOT_START',
  'KUBELET_CONFIG_UNREADABLE',
  'KUBELET_FLAG_UNREADABLE',
  'KERNEL_DEFAULTS_DRIFTED',
  'FILE_UNSAFE',
  'FILE_CHANGED',
  'FILE_WRITE_FAILED',
  'NODE_READ_ONLY',
  'NO_PLACEMENT',
  'PLACEMENT_IMPOSSIBLE',
  // what the change would do
  'REMOVAL_IN_USE',
  'REMOVAL_UNCHECKED',
  'REMOVAL_REFUSED',
  'GPU_AT_RISK',
  'PLAN_LATCHED',
  'NOTHING_TO_ROLL_BACK',
  'TRANSACTION_RUNNING',
  // what happened to it
  'PROOF_FAILED',
  'RELOAD_FAILED',
  'RESTART_FAILED',
  'RESTART_TIMED_OUT',
  'KUBELET_EXITED',
  'KUBELET_RESTARTED',
  'KUBELET_NOT_ANSWERING',
  'FLAG_NOT_IN_FORCE',
  'WATCHDOG_FIRED',
  'WATCHDOG_NOT_ARMED',
  'INTERRUPTED',
  'SYSCTL_WRITE_FAILED',
  'ROLLBACK_FAILED',
  'JOURNAL_UNREADABLE',
  'STATE_DIRECTORY_UNSAFE',
  // the cluster
  'API_UNREACHABLE',
  'API_REFUSED',
  'ROLLOUT_HALTED',
  'KUBECONFIG_UNUSABLE',
  // the rest
  'USAGE',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Codes that a person may overrule with `--force CODE`; everything else is never ours to overrule. */
export const forceableCodes = [
  'UNIT_UNSTABLE',
  'UNIT_NEEDS_RELOAD',
  'UNIT_CHANGED_SINCE_START',
  'UNIT_STOP_UNSAFE',
  'UNIT_OWNED',
  'KUBELET_BINARY_CHANGED',
  'KUBELET_UNHEALTHY',
  'KUBELET_WOULD_NOT_START',
  'KERNEL_DEFAULTS_DRIFTED',
  'REMOVAL_IN_USE',
  'REMOVAL_UNCHECKED',
  'PLAN_LATCHED',
] as const satisfies readonly ErrorCode[];

export type ForceableCode = (typeof forceableCodes)[number];

/** Where in a document or file a problem stands. Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** An expected "no": what was tried, on what, why not, and what to do next. Plain JSON. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where?: Place;
  /** The way out, as an instruction. */
  readonly next?: string;
}

/** A broken thing (not an expected "no"): carries a code for the metrics and the cause for the log. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: ErrorCode;
  readonly next: string | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; next?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.next = options.next;
  }
}

/** The problem that an error stands for; unknown errors become INTERNAL and keep their message. */
export function problemOf(error: unknown): Problem {
  if (error instanceof AgentError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.next === undefined ? {} : { next: error.next }),
    };
  }
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Makes the compiler prove that a union was handled whole. */
export function unreachable(value: never): never {
  throw new AgentError('INTERNAL', `unhandled case: ${JSON.stringify(value)}`);
}
