import type { ClusterConnection, ClusterOptions } from '../cluster/connect.ts';
import type { FleetConnection, FleetOptions } from '../cluster/connect-fleet.ts';
import type { SlotConnection, SlotConnectionOptions } from '../cluster/connect-slots.ts';
import type { Clock } from '../host/clock.ts';
import type { Commands } from '../host/commands.ts';
import type { ReviewScrape } from '../metrics/authorization.ts';
import type { NodeConnection, NodeOptions } from '../wire.ts';

/** Where text goes, and what it may look like there. */
export interface Sink {
  write(text: string): void;
  /** A terminal, whose last line may be written anew. */
  readonly isTerminal: boolean;
  /** In characters; 80 where nobody knows. */
  readonly columns: number;
  readonly colour: boolean;
}

/** Everything that a command touches besides its arguments; main.ts builds it, tests replace it. */
export interface CliContext {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly clock: Clock;
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP once signals are held; before that they end the program. */
  readonly signal: AbortSignal;
  /** From now on the first signal is a wish to stop in good order. */
  holdSignals(): void;
  readonly agentVersion: string;
  readonly nodeName: string;
  /** Who asks, for the audit log. */
  readonly requestedBy: string;
  /** Programs of this machine. */
  commands(): Promise<Commands>;
  connectNode(options: NodeOptions): Promise<NodeConnection>;
  /** Undefined outside of a cluster. */
  connectCluster(
    options: Pick<ClusterOptions, 'log' | 'random' | 'morePolicies' | 'cleanEveryMs'>,
  ): Promise<ClusterConnection | undefined>;
  /** Asks the API server who may read the metrics. @throws AgentError API_UNREACHABLE outside of a cluster. */
  scrapeReviews(): Promise<ReviewScrape>;
  /** Whether `run` would find policies in a cluster. */
  readonly inCluster: boolean;
  /** @throws AgentError API_UNREACHABLE outside of a cluster. */
  connectSlots(options: Pick<SlotConnectionOptions, 'warn'>): Promise<SlotConnection>;
  connectFleet(options: Pick<FleetOptions, 'kubeconfig' | 'context' | 'namespace'>): Promise<FleetConnection>;
}

/** Writes lines, each with its end. */
export function writeLines(sink: Sink, lines: readonly string[]): void {
  if (lines.length > 0) sink.write(`${lines.join('\n')}\n`);
}
