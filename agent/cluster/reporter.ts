import type { PolicyDocument } from '../policy/schema.ts';
import { apiVersion } from '../policy/vocabulary.ts';
import { backoffDelay } from './backoff.ts';
import { eventsBetween, type EventView, tellEvent } from './events.ts';
import type { ForbiddenCount } from './forbidden-pods.ts';
import { isProven, labelChanges, type LabelQuestion, labelRemovals } from './node-labels.ts';
import { conditionsOfObject, type NodeFacts, nodeStatusOf } from './node-status.ts';
import { changeLabels, type OwnNode, removeStartupTaint } from './own-node.ts';
import { labelledPolicy } from './policies.ts';
import type { ClusterPorts } from './ports.ts';
import type { SlotView } from './slot-gate.ts';
import { statusKind, statusPath, type StatusCondition } from './status-schema.ts';

export interface NodeReporter {
  /** Returns at once; the newest facts are told in the background until they have been. */
  report(facts: NodeFacts): Promise<void>;
  /** Something beside the facts changed: the slot, the rejected pods. */
  refresh(): void;
  /** Before the node is put at risk: labels of what is about to go are gone. @throws AgentError API_UNREACHABLE. */
  beforeRisk(signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface NodeReporterOptions {
  readonly agentVersion: string;
  readonly node: () => OwnNode | undefined;
  readonly slot: () => SlotView;
  readonly forbidden: () => readonly ForbiddenCount[];
  readonly policies: () => readonly PolicyDocument[];
  /** Of the policies as they are now: facts about others say nothing of these. */
  readonly policyHash: () => string | undefined;
  readonly generations: () => Readonly<Record<string, number>>;
}

/** Tells the cluster about one node: status, labels, start-up taint and events; only what changed, newest first. */
export function nodeReporter(ports: ClusterPorts, options: NodeReporterOptions): NodeReporter {
  const { client, clock, random, log } = ports;
  const closed = new AbortController();
  let newest: NodeFacts | undefined;
  let told: EventView | undefined;
  let conditions: readonly StatusCondition[] | undefined;
  let written = '';
  let wanted = 0;
  let running = false;
  let unlabelledAtMs = Number.NEGATIVE_INFINITY;

  const relabel = async (
    node: OwnNode,
    labels: Readonly<Record<string, string | null>>,
    signal: AbortSignal,
  ): Promise<void> => {
    await changeLabels(ports, node.name, labels, signal);
    if (Object.values(labels).includes(null)) unlabelledAtMs = clock.monotonic();
  };
  const question = (facts: NodeFacts): Omit<LabelQuestion, 'present'> => ({
    policies: options.policies().map(labelledPolicy),
    state: facts.state,
    drift: facts.drift,
    isCurrent: facts.policyHash === options.policyHash(),
  });
  const labelsNow = (facts: NodeFacts, node: OwnNode): Readonly<Record<string, string | null>> =>
    labelChanges({ ...question(facts), present: node.labels });

  const writeStatus = async (facts: NodeFacts, node: OwnNode): Promise<void> => {
    conditions ??= conditionsOfObject(await read(ports, node.name));
    const status = nodeStatusOf(facts, {
      agentVersion: options.agentVersion,
      slot: options.slot(),
      forbidden: options.forbidden(),
      generations: options.generations(),
      before: conditions,
    });
    const text = JSON.stringify(status);
    if (text === written) return;
    const body = {
      apiVersion,
      kind: statusKind,
      metadata: {
        name: node.name,
        // Deleted with its Node.
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid }],
      },
      status,
    };
    const path = `${statusPath}/${encodeURIComponent(node.name)}?fieldManager=kubelet-sysctl-agent&force=true`;
    const answer = await client.ask(
      { method: 'PATCH', path, body, patch: 'apply' },
      { signal: closed.signal },
    );
    if (answer.kind === 'refused') {
      log('warn', 'statusRefused', { status: answer.status }, answer.message);
      return;
    }
    written = text;
    conditions = status.conditions;
  };

  const tellAll = async (facts: NodeFacts): Promise<void> => {
    const node = options.node();
    if (node === undefined) throw new Error('this Node is not known to the API server');
    const view: EventView = { facts, slot: options.slot() };
    const events = eventsBetween(told, view);
    await writeStatus(facts, node);
    await relabel(node, labelsNow(facts, node), closed.signal);
    if (isProven(question(facts))) await removeStartupTaint(ports, node);
    told = view;
    for (const event of events) await tellEvent(ports, node.name, event);
  };

  const work = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      let failures = 0;
      let done = -1;
      while (done !== wanted) {
        const [aim, facts] = [wanted, newest];
        if (facts === undefined) return;
        try {
          await tellAll(facts);
          done = aim;
          failures = 0;
        } catch (error) {
          if (closed.signal.aborted) return;
          failures += 1;
          log('warn', 'statusNotTold', { failures }, error instanceof Error ? error.message : String(error));
        }
        // Also after a success: a storm of reports becomes one write a second.
        await clock.sleep(failures === 0 ? 1_000 : backoffDelay(failures, random()), closed.signal);
      }
    } catch {
      // Closed.
    } finally {
      running = false;
    }
  };
  const refresh = (): void => {
    if (newest === undefined) return;
    wanted += 1;
    void work();
  };

  return {
    report: async (facts) => {
      newest = facts;
      refresh();
      return Promise.resolve();
    },
    refresh,
    beforeRisk: async (signal) => {
      const node = options.node();
      if (node === undefined || newest === undefined) return;
      await relabel(node, labelRemovals({ ...question(newest), present: node.labels }), signal);
      // A scheduler that saw the label a moment ago may still bind a pod for its sake.
      const restMs = unlabelledAtMs + schedulerLagMs - clock.monotonic();
      if (restMs > 0) await clock.sleep(restMs, signal);
    },
    close: () => {
      closed.abort(new Error('the reporter was closed'));
    },
  };
}

const schedulerLagMs = 5_000;

async function read({ client }: ClusterPorts, node: string): Promise<unknown> {
  const answer = await client.ask({ method: 'GET', path: `${statusPath}/${encodeURIComponent(node)}` });
  return answer.kind === 'done' ? answer.object : undefined;
}
