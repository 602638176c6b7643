import { problemOf } from '../errors.ts';
import type { KeptDrift } from '../host/drift-file.ts';
import type { DriftName } from '../plan/drift.ts';
import type { LoopPosition } from '../transaction/loop-position.ts';
import { type DriftSince, driftSince, sameSince } from './drift-since.ts';
import type { LoopPorts } from './loop-ports.ts';

/** What survives the agent: since when things drift, and how often they were healed. */
export class DriftMemory {
  private readonly ports: Pick<LoopPorts, 'kept' | 'host' | 'log'>;
  private last: KeptDrift | undefined;
  /** Since when each drift lasts; milliseconds since the epoch. */
  since: DriftSince = {};

  constructor(ports: DriftMemory['ports']) {
    this.ports = ports;
  }

  async load(): Promise<void> {
    this.last = await this.ports.kept.read();
    this.since = this.last?.since ?? {};
  }

  /** What an earlier agent left of this very policy, in monotonic times; a clock that was set back makes heals recent. */
  of(policyHash: string): Pick<LoopPosition, 'heals' | 'settled'> | undefined {
    if (this.last?.policyHash !== policyHash) return undefined;
    const { clock } = this.ports.host;
    const monotonic = (at: number): number => clock.monotonic() - Math.max(0, clock.now() - at);
    const { heals, settled } = this.last;
    return {
      heals: { kubelet: heals.kubelet.map(monotonic), sysctls: heals.sysctls.map(monotonic) },
      settled,
    };
  }

  /** Takes in what drifts now, and writes it down where that is news. Never throws: a full disk must not blind us. */
  async keep(policyHash: string, drifted: readonly DriftName[], position: LoopPosition): Promise<void> {
    const { clock } = this.ports.host;
    const before = this.since;
    this.since = driftSince(before, drifted, clock.now());
    const wall = (at: number): number => Math.round(clock.now() - (clock.monotonic() - at));
    const { heals, settled } = position;
    const next: KeptDrift = {
      schema: 1,
      policyHash,
      since: this.since,
      heals: { kubelet: heals.kubelet.map(wall), sysctls: heals.sysctls.map(wall) },
      settled,
    };
    if (this.last !== undefined && sameSince(before, this.since) && sameCounts(this.last, next)) return;
    try {
      await this.ports.kept.write(next);
      this.last = next;
    } catch (error) {
      this.ports.log('warn', 'driftNotKept', {}, problemOf(error).message);
    }
  }
}

/** Times are converted anew each time and differ by rounding: how many there are tells whether one was added. */
function sameCounts(one: KeptDrift, other: KeptDrift): boolean {
  return (
    one.policyHash === other.policyHash &&
    one.heals.kubelet.length === other.heals.kubelet.length &&
    one.heals.sysctls.length === other.heals.sysctls.length &&
    one.settled.length === other.settled.length
  );
}
