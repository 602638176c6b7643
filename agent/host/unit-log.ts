import type { Commands } from './commands.ts';
import { hostCommand } from './host-command.ts';

/** One line that a process of a unit wrote. */
export interface LogLine {
  /** Which start of the unit it belongs to; empty where the journal does not say. */
  readonly invocationId: string;
  readonly text: string;
}

export interface UnitLogQuestion {
  readonly unit: string;
  readonly sinceMs: number;
  /** The host's root as we see it. */
  readonly root: string;
  readonly procDir?: string;
}

const mostLines = 300;
const deadlineMs = 3_000;

/**
 * The last lines that a unit's own processes wrote to the host's journal, oldest first; systemd's lines about the unit
 * are not among them. Empty where there is no journal, and on any doubt: nothing may depend on it.
 */
export async function readUnitLog(
  commands: Commands,
  question: UnitLogQuestion,
): Promise<readonly LogLine[]> {
  const { unit, sinceMs, root, procDir } = question;
  const command = hostCommand(
    root,
    [
      'journalctl',
      '--quiet',
      '--no-pager',
      '--output=json',
      '--output-fields=MESSAGE,_SYSTEMD_INVOCATION_ID',
      `--since=@${Math.floor(sinceMs / 1000)}`,
      `--lines=${mostLines}`,
      `_SYSTEMD_UNIT=${unit}`,
    ],
    procDir,
  );
  const [file, ...args] = command ?? [];
  if (file === undefined) return [];
  const result = await commands.run(file, args, { deadlineMs });
  if (result.kind !== 'exited' || result.code !== 0) return [];
  return result.stdout.split('\n').flatMap(lineOf);
}

function lineOf(json: string): readonly LogLine[] {
  try {
    const { MESSAGE: text, _SYSTEMD_INVOCATION_ID: invocationId } = JSON.parse(json) as Record<
      string,
      unknown
    >;
    // journald gives what is not UTF-8 as numbers, and what is very long as null.
    return typeof text === 'string'
      ? [{ text, invocationId: typeof invocationId === 'string' ? invocationId : '' }]
      : [];
  } catch {
    return [];
  }
}
