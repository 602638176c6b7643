import type { LoopLog } from '../engine/loop-ports.ts';
import type { ApiClient, ApiClock } from './api-client.ts';

/** What everything in this folder that talks to the API server needs. */
export interface ClusterPorts {
  readonly client: ApiClient;
  readonly clock: ApiClock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  readonly log: ClusterLog;
}

export type ClusterLog = LoopLog;
