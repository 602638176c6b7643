import { isAllowlistFlag, sameWords, walkFlags } from '../kubelet/argv.ts';
import { classifyCommand, classifyProcess } from '../kubelet/command.ts';
import type { LoadedCommand, ObservedNode, ObservedProcess } from './observed.ts';

/**
 * Whether the unit's program has made itself the kubelet, with the arguments of the unit: hyperkube is a script that
 * does so since 1.17. It hands on what it gets, then; probation sees whether the new flag arrived as well.
 */
export function becameKubelet(
  { process }: Pick<ObservedNode, 'process'>,
  { expanded, argsFrom }: { readonly expanded: readonly string[]; readonly argsFrom: number },
): boolean {
  if (process === undefined) return false;
  const args = kubeletArgs(process);
  const given = otherWords(expanded.slice(argsFrom));
  const got = otherWords(args ?? []);
  // Without an argument there is no evidence that any would be handed on.
  return args !== undefined && given.length > 0 && sameWords(given, got);
}

/** What a running kubelet got, without its program and hyperkube's `kubelet`; undefined of another process. */
export function kubeletArgs(process: ObservedProcess): readonly string[] | undefined {
  const running = classifyProcess(process);
  return running.kind === 'kubelet' ? process.argv.slice(running.argsFrom) : undefined;
}

/** Arguments of a kubelet without the allowlist flag. */
export function otherWords(args: readonly string[]): readonly string[] {
  const own = new Set(
    walkFlags(args)
      .filter(isAllowlistFlag)
      .flatMap(({ index, words }) => (words === 2 ? [index, index + 1] : [index])),
  );
  return args.filter((_, index) => !own.has(index));
}

/**
 * Where the kubelet's flags begin in a command that starts it through another program; undefined unless the running
 * process proves it. `nice` and `taskset` become the kubelet that they name, a script with `exec kubelet "$@"` the one
 * that it knows: with the very words of the unit, so that a word more at their end arrives as well.
 */
export function provenArgsFrom(
  observed: Pick<ObservedNode, 'process'>,
  { path, argv }: LoadedCommand,
  expanded: readonly string[],
): number | undefined {
  const kind = classifyCommand(path, argv);
  if (kind.kind !== 'wrapper' || !kind.mayBecomeKubelet) return undefined;
  const named = argv.findIndex(
    (word, index) => index > 0 && classifyCommand(word, [word]).kind === 'kubelet',
  );
  const argsFrom = named === -1 ? 1 : named + 1;
  // A variable before the kubelet may be any number of words, and systemd's index would not be the process's.
  if (argv.slice(0, argsFrom).some((word) => word.includes('$'))) return undefined;
  return becameKubelet(observed, { expanded, argsFrom }) ? argsFrom : undefined;
}
