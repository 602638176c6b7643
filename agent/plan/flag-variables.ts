import { readAllowlistFlag } from '../kubelet/flag.ts';
import { readEnv } from '../unit-file/env-file.ts';
import { splitWords } from '../unit-file/expand.ts';
import type { LoadedCommand, ObservedNode } from './observed.ts';

/** A variable of the command line that brings the allowlist flag with it. */
export interface FlagVariable {
  readonly name: string;
  /** Path of the file that sets it, or `Environment=` of the unit. */
  readonly from: string;
}

/** The variables among a command's words whose value holds the allowlist flag, and what sets them. */
export function flagVariables(
  observed: Pick<ObservedNode, 'unit' | 'environmentFiles' | 'systemdVersion'>,
  { argv }: LoadedCommand,
): readonly FlagVariable[] {
  const environment = readEnv(observed.environmentFiles, observed.unit?.environment ?? [], {
    systemdVersion: observed.systemdVersion,
  });
  const names = argv.flatMap((word) => /^\$\{?([A-Za-z_]\w*)\}?$/.exec(word)?.[1] ?? []);
  return [...new Set(names)].flatMap((name) => {
    const set = environment.get(name);
    if (set === undefined) return [];
    const flag = readAllowlistFlag(splitWords(set.value));
    return flag.ok && flag.entries === undefined ? [] : [{ name, from: set.from }];
  });
}

/** Files that something else writes anew: kubeadm at join and upgrade, nodeadm at boot. */
export const rewrittenFiles: ReadonlySet<string> = new Set([
  '/var/lib/kubelet/kubeadm-flags.env',
  '/var/lib/kubelet/kubelet-flags.env',
  '/etc/kubelet/kubeadm-flags.env',
  '/etc/eks/kubelet/environment',
  '/run/flannel/subnet.env',
  '/etc/os-release',
  '/etc/environment',
]);

/** How entries that a variable brings are taken away: by this agent in a file of the admin, otherwise by hand. */
export function wayOut(variables: readonly FlagVariable[]): string {
  const byHand = variables.filter(({ from }) => from === 'Environment=' || rewrittenFiles.has(from));
  if (variables.length > 0 && byHand.length === 0)
    return 'use placement: EnvironmentFile, or keep them (existing: Keep)';
  const places = byHand.map(({ name, from }) =>
    from === 'Environment='
      ? `take them out of the Environment= line for ${name} by hand (\`systemctl cat\` shows it)`
      : `take them out of ${name} in ${from} by hand, and out of what writes that file`,
  );
  const first = places.length === 0 ? 'take them out of the variable by hand' : places.join('; ');
  return `${first}; or keep them (existing: Keep)`;
}
