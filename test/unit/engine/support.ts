import { applyPolicy, type ApplyOutcome, type ApplyRequest } from '../../../agent/engine/apply.ts';
import {
  rollBackLast,
  type RollBackLastOutcome,
  type RollBackLastRequest,
} from '../../../agent/engine/roll-back-last.ts';
import { mergeForNode, type NodePolicy } from '../../../agent/policy/merge.ts';
import type { FakeNode } from '../../support/host/fake-node.ts';

/** A policy as merging gives it for a node. */
export function policy(settings: Partial<NodePolicy> = {}): NodePolicy {
  const merged = mergeForNode([]);
  if (!merged.ok) throw new Error('no policy at all is a good policy');
  return { ...merged.policy, names: ['test'], allowedUnsafeSysctls: ['net.core.somaxconn'], ...settings };
}

export async function apply(node: FakeNode, request: Partial<ApplyRequest> = {}): Promise<ApplyOutcome> {
  return applyPolicy(node.host, node.ports, {
    policy: policy(),
    force: [],
    requestedBy: 'alice',
    report: node.report(),
    signal: new AbortController().signal,
    ...request,
  });
}

export async function undo(
  node: FakeNode,
  request: Partial<RollBackLastRequest> = {},
): Promise<RollBackLastOutcome> {
  return rollBackLast(node.host, node.ports, {
    force: [],
    requestedBy: 'bob',
    report: node.report(),
    signal: new AbortController().signal,
    ...request,
  });
}

/** The steps that were finished, in order. */
export function completed(node: FakeNode): readonly string[] {
  return node.points
    .filter((point) => point.startsWith('after:'))
    .map((point) => point.slice('after:'.length));
}

/** The code of whatever kind of no it is. */
export function codeOf(outcome: ApplyOutcome | RollBackLastOutcome): string | undefined {
  if ('problem' in outcome) return outcome.problem.code;
  return 'problems' in outcome ? outcome.problems[0]?.code : undefined;
}
