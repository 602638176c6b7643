import type { NodeFacts } from './node-status.ts';
import type { ClusterPorts } from './ports.ts';
import type { SlotView } from './slot-gate.ts';

/** What kubectl describe shows below the node. */
export interface NodeEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason:
    'SysctlsApplied' | 'SysctlsRolledBack' | 'KubeletBroken' | 'SysctlsRefused' | 'RolloutHalted';
  readonly message: string;
}

/** A moment as far as events go. */
export interface EventView {
  readonly facts: Pick<NodeFacts, 'state' | 'conditions' | 'lastTransaction'>;
  readonly slot: SlotView;
}

/**
 * The news between two reports; nothing is told twice. At the agent's start what stands in the way now is news (a new
 * node keeps its taint, and should say why), what ended before is not.
 */
export function eventsBetween(before: EventView | undefined, after: EventView): readonly NodeEvent[] {
  return [
    ...(before === undefined ? [] : transactionNews(before, after)),
    ...refusalNews(before, after),
    ...haltNews(before, after),
  ];
}

/** Tells the cluster. Events are news, not state: one that cannot be told within the patience is dropped. */
export async function tellEvent(
  { client, clock, log }: ClusterPorts,
  node: string,
  event: NodeEvent,
): Promise<void> {
  const at = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { generateName: `${node}.`.slice(0, 200), namespace: 'default' },
    // As the kubelet does for its node: kubectl describe looks for the name in place of the uid.
    involvedObject: { apiVersion: 'v1', kind: 'Node', name: node, uid: node },
    reason: event.reason,
    message: event.message.slice(0, 1024),
    type: event.type,
    source: { component: 'kubelet-sysctl-agent', host: node },
    reportingComponent: 'sysctl-agent.dev/kubelet-sysctl-agent',
    reportingInstance: node,
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
  try {
    const answer = await client.ask({ method: 'POST', path: '/api/v1/namespaces/default/events', body });
    if (answer.kind === 'refused')
      log('warn', 'eventRefused', { reason: event.reason, status: answer.status }, answer.message);
  } catch (error) {
    log(
      'warn',
      'eventNotTold',
      { reason: event.reason },
      error instanceof Error ? error.message : String(error),
    );
  }
}

function transactionNews(before: EventView, after: EventView): readonly NodeEvent[] {
  const last = after.facts.lastTransaction;
  const old = before.facts.lastTransaction;
  if (last === undefined || (last.id === old?.id && last.verdict === old.verdict)) return [];
  const by = last.by === undefined || last.by === 'agent' ? '' : ` by the ${last.by}`;
  const why = last.code === undefined ? last.message : `${last.code}: ${last.message}`;
  switch (last.verdict) {
    case 'committed':
      return [
        {
          type: 'Normal',
          reason: 'SysctlsApplied',
          message: `Change ${last.id} was applied: the kubelet is proven.`,
        },
      ];
    case 'rolledBack':
      return [
        {
          type: 'Warning',
          reason: 'SysctlsRolledBack',
          message: `Change ${last.id} was rolled back${by}. ${why}`,
        },
      ];
    case 'broken':
      return [
        { type: 'Warning', reason: 'KubeletBroken', message: `Change ${last.id} needs a person. ${why}` },
      ];
    case 'running':
      return [];
    default:
      return last.verdict satisfies never;
  }
}

function refusalNews(before: EventView | undefined, after: EventView): readonly NodeEvent[] {
  if (after.facts.state !== 'refused') return [];
  const why = ({ facts }: EventView): string => {
    const condition = facts.conditions.find(({ type }) => type === 'Converged');
    return condition === undefined ? '' : `${condition.reason}: ${condition.message}`;
  };
  if (before?.facts.state === 'refused' && why(before) === why(after)) return [];
  return [{ type: 'Warning', reason: 'SysctlsRefused', message: `Nothing was touched. ${why(after)}` }];
}

function haltNews(before: EventView | undefined, { slot }: EventView): readonly NodeEvent[] {
  if (slot.kind !== 'halted') return [];
  const old = before?.slot.kind === 'halted' ? before.slot.by.join() : '';
  if (old === slot.by.join()) return [];
  return [
    {
      type: 'Warning',
      reason: 'RolloutHalted',
      message: `The rollout of policy ${slot.policy} is halted: it waits for ${slot.by.join(', ')}.`,
    },
  ];
}
