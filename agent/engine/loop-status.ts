import type { Latch } from '../host/latch.ts';
import { isDrifted } from '../plan/drift.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { Journal } from '../transaction/journal.ts';
import type { LoopState } from '../transaction/loop-position.ts';
import { isOpen } from '../transaction/steps.ts';
import type { DriftSince } from './drift-since.ts';
import type { Look } from './loop-look.ts';
import type { LastTransaction, NodeStatusFacts, StatusCondition } from './reporter.ts';

export interface StatusRequest {
  readonly look: Look;
  readonly state: LoopState;
  readonly policy: NodePolicy;
  readonly policyHash: string;
  readonly policyValid: boolean;
  readonly since: DriftSince;
  readonly lastTransaction: LastTransaction | undefined;
  readonly nowMs: number;
}

/** What the cluster is told of a look. */
export function statusFacts(request: StatusRequest): NodeStatusFacts {
  const { look, state, policy } = request;
  return {
    observedAtMs: request.nowMs,
    state,
    policies: policy.names,
    policyHash: request.policyHash,
    kubeletVersion: look.observed.kubeletVersion,
    conditions: conditionsOf(request),
    drift: look.drift,
    driftSince: request.since,
    lastTransaction: request.lastTransaction,
    latch: look.latch,
  };
}

/** The last transaction as its journal tells it. */
export function lastTransactionOf(journal: Journal | undefined): LastTransaction | undefined {
  if (journal === undefined) return undefined;
  const { id, startedAtMs, updatedAtMs: endedAtMs, verdict } = journal;
  const base = { id, startedAtMs, endedAtMs };
  if (verdict === undefined || (isOpen(journal.state) && journal.state !== 'broken')) {
    return {
      ...base,
      verdict: 'running',
      by: undefined,
      code: undefined,
      message: `${journal.state}, not ended`,
    };
  }
  return { ...base, verdict: verdict.kind, by: verdict.by, code: verdict.code, message: verdict.message };
}

function latchedMessage({ transaction, code, message }: Latch): string {
  return `${transaction} was rolled back and is not tried again by itself. ${code}: ${message}`;
}

function conditionsOf({ look, state, policyValid }: StatusRequest): readonly StatusCondition[] {
  const drifted = isDrifted(look.drift);
  const [problem] = look.problems;
  const message = problem?.message ?? (look.latch === undefined ? '' : latchedMessage(look.latch));
  const unknown = look.drift.layers.filter((layer) => layer.kind === 'unknown' && layer.layer !== 'configz');
  const { health } = look.observed;
  return [
    {
      type: 'Observed',
      status: unknown.length === 0 ? 'True' : 'False',
      reason: unknown.length === 0 ? 'Seen' : 'LayerUnknown',
      message: unknown
        .map((layer) => `${layer.layer}: ${layer.kind === 'unknown' ? layer.reason : ''}`)
        .join('; '),
    },
    {
      type: 'Converged',
      status: drifted || look.wish !== 'nothing' ? 'False' : 'True',
      reason: problem?.code ?? state,
      message,
    },
    {
      type: 'PolicyValid',
      status: policyValid ? 'True' : 'False',
      reason: policyValid ? 'Valid' : 'POLICY_INVALID',
      message: policyValid ? '' : 'the last good policy stays in force',
    },
    {
      type: 'KubeletHealthy',
      status: health === 'ok' ? 'True' : health === 'unhealthy' ? 'False' : 'Unknown',
      reason: health,
      message: '',
    },
  ];
}
