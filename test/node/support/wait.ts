import { setTimeout as pause } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, as the end of "waited 5000 ms for …". */
  readonly what: string;
  readonly deadlineMs?: number;
  /** Told when the deadline passes; its text goes into the error. */
  readonly explain?: () => Promise<string>;
}

/**
 * Asks every 25 ms until the answer is neither false nor undefined, and gives that answer. Throws at the deadline
 * (15 s unless told) with the last answer or error, never earlier and never silently.
 */
export async function waitFor<T>(
  ask: () => Promise<T | false | undefined> | T | false | undefined,
  { what, deadlineMs = 15_000, explain }: WaitOptions,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  let last = 'nothing';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== false && answer !== undefined) return answer;
      last = String(answer);
    } catch (error) {
      last = String(error);
    }
    if (performance.now() > end) break;
    await pause(25);
  }
  const why = explain ? `\n${await explain()}` : '';
  throw new Error(`waited ${deadlineMs} ms for ${what}; the last answer was ${last}${why}`);
}
