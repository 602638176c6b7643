import { unreachable } from '../../../agent/errors.ts';
import type { Healthz, HealthzTarget, ProbeHealthz } from '../../../agent/host/healthz.ts';

export interface FakeHealthz {
  readonly probe: ProbeHealthz;
  /** Every target asked so far. */
  readonly asked: readonly HealthzTarget[];
  /** From now on; `listens` false means that nobody does. */
  answer(answer: FakeAnswer): void;
}

/** How the kubelet answers: bytes, silence, or not at all. */
export type FakeAnswer =
  | { readonly kind: 'responds'; readonly status: number; readonly body: string }
  | { readonly kind: 'silent' }
  | { readonly kind: 'absent' };

/** One kubelet that answers /healthz on any address and port. Absent until told otherwise. */
export function fakeHealthz(): FakeHealthz {
  const asked: HealthzTarget[] = [];
  let current: FakeAnswer = { kind: 'absent' };
  return {
    asked,
    answer(answer) {
      current = answer;
    },
    async probe(target) {
      asked.push(target);
      target.signal?.throwIfAborted();
      return verdict(current);
    },
  };
}

function verdict(answer: FakeAnswer): Healthz {
  switch (answer.kind) {
    case 'responds':
      return answer.status === 200 && answer.body === 'ok'
        ? { kind: 'ok' }
        : { kind: 'unhealthy', status: answer.status, body: answer.body };
    case 'silent':
      return { kind: 'timedOut' };
    case 'absent':
      return { kind: 'off', reason: 'connect ECONNREFUSED' };
    default:
      return unreachable(answer);
  }
}
