import type { Clock } from '../host/clock.ts';
import type { LoopEvent } from '../transaction/loop-position.ts';

/** What was told to the loop while it was at work, and its sleep until somebody tells more. */
export class LoopInbox {
  private readonly clock: Clock;
  private readonly events: LoopEvent[] = [];
  private wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  tell(event: LoopEvent): void {
    // Two of one kind say what one says: a storm must not grow the inbox.
    if (!this.events.some(({ kind }) => kind === event.kind)) this.events.push(event);
    this.wake?.();
  }

  get isEmpty(): boolean {
    return this.events.length === 0;
  }

  /** The next event; `timePassed` when nobody told anything until that moment, or the signal was aborted. */
  async next(untilMs: number, signal: AbortSignal): Promise<LoopEvent> {
    return this.events.shift() ?? (await this.sleep(untilMs, signal)) ?? { kind: 'timePassed' };
  }

  private async sleep(untilMs: number, signal: AbortSignal): Promise<LoopEvent | undefined> {
    const woken = new AbortController();
    const stop = (): void => {
      woken.abort();
    };
    this.wake = stop;
    signal.addEventListener('abort', stop);
    try {
      await this.clock.sleep(Math.max(0, untilMs - this.clock.monotonic()), woken.signal);
    } catch {
      // Woken.
    } finally {
      this.wake = undefined;
      signal.removeEventListener('abort', stop);
    }
    return this.events.shift();
  }
}
