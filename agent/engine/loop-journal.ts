import type { Journal } from '../transaction/journal.ts';
import { isOpen } from '../transaction/steps.ts';
import { type Ended, recoverOnce } from './loop-apply.ts';
import type { LoopPorts } from './loop-ports.ts';

/** How the journal of this node stands: a change that nobody ended, or one that needs a person. */
export class LoopJournal {
  private readonly ports: LoopPorts;
  private readonly dryRun: boolean;
  private standing: 'closed' | 'open' | 'broken' = 'closed';

  constructor(ports: LoopPorts, dryRun: boolean) {
    this.ports = ports;
    this.dryRun = dryRun;
  }

  get isBroken(): boolean {
    return this.standing === 'broken';
  }

  /** Somebody is at work, or was and nobody could end it yet. */
  get isOpen(): boolean {
    return this.standing === 'open';
  }

  ended({ result }: Pick<Ended, 'result'>): void {
    this.standing = result === 'broken' ? 'broken' : 'closed';
  }

  /**
   * What an earlier agent began is ended before anything else; what another one is at is let be, by its lock. Undefined
   * where there was nothing to end, or the end is not ours.
   */
  async finish(healthz: { readonly address: string; readonly port: number }): Promise<Ended | undefined> {
    const { host, log } = this.ports;
    const journal = await host.state.readJournal();
    this.standing = journal === undefined ? 'closed' : await standingOf(host.state, journal);
    if (journal === undefined || !this.isOpen || this.dryRun) return undefined;
    const { id: transaction, state } = journal;
    log('warn', 'interrupted', { transaction, state }, 'this transaction was begun and not ended');
    const ended = await recoverOnce(this.ports, healthz);
    if (ended.result !== 'refused') this.ended(ended);
    return ended;
  }
}

/** A person must look at a broken node, unless the watchdog has put it right meanwhile. */
async function standingOf(
  state: LoopPorts['host']['state'],
  journal: Journal,
): Promise<'closed' | 'open' | 'broken'> {
  if (journal.state === 'broken' && (await state.token(journal.id)) !== 'restored') return 'broken';
  return isOpen(journal.state) ? 'open' : 'closed';
}
