import type { Commands } from '../host/commands.ts';
import { toProcPath } from '../sysctl/names.ts';

/** What a sysctl is in network and IPC namespaces that nobody has set anything in, such as those of a new pod. */
export type FreshReading =
  | { readonly kind: 'value'; readonly value: string; readonly writable: boolean | undefined }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly reason: string };

const deadlineMs = 5_000;

/**
 * Makes fresh namespaces for a moment and reads in them: visible and writable there is what the kernel really keeps
 * for each pod. Needs root and util-linux's `unshare`. Never throws.
 */
export async function readFreshPod(
  commands: Commands,
  names: readonly string[],
): Promise<ReadonlyMap<string, FreshReading>> {
  const every = (reason: string): ReadonlyMap<string, FreshReading> =>
    new Map(names.map((name) => [name, { kind: 'unknown', reason }]));
  const result = await commands.run(
    'unshare',
    ['--net', '--ipc', '--', 'sh', '-c', script, 'sh', ...names.map(toProcPath)],
    { deadlineMs },
  );
  switch (result.kind) {
    case 'notFound':
      return every('unshare is not installed');
    case 'timedOut':
      return every(`unshare gave no answer in ${deadlineMs} ms`);
    case 'failed':
      return every(result.reason);
    case 'exited':
      break;
    default:
      return result satisfies never;
  }
  if (result.code !== 0) return every(result.stderr.trim().split('\n')[0] ?? `exit code ${result.code}`);
  const [probe = '', ...answers] = result.stdout.split('\0');
  return new Map(names.map((name, index) => [name, readingOf(answers[index], probe === 'w')]));
}

// The first answer tells whether /proc/sys may be written at all: in a container it may be mounted read-only, and then
// nothing follows from the others.
const script = `
if [ -w /proc/sys/net/core/somaxconn ]; then printf w; fi; printf '\\0'
for file do
  if [ ! -e "$file" ]; then printf a
  elif [ -w "$file" ]; then printf w; cat -- "$file" 2>/dev/null || printf '!'
  else printf r; cat -- "$file" 2>/dev/null || printf '!'
  fi
  printf '\\0'
done`;

function readingOf(answer: string | undefined, writesTell: boolean): FreshReading {
  if (answer === undefined || answer === '') return { kind: 'unknown', reason: 'no answer' };
  if (answer === 'a') return { kind: 'absent' };
  if (answer.endsWith('!')) return { kind: 'unknown', reason: 'it cannot be read' };
  return {
    kind: 'value',
    value: answer.slice(1).replace(/\n$/, ''),
    writable: writesTell ? answer.startsWith('w') : undefined,
  };
}
