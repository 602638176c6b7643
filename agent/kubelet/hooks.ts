import type { Problem } from '../errors.ts';
import type { Judgement } from './hook-commands.ts';
import { judgeStart, judgeStop } from './hook-commands.ts';
import { shellCommands } from './shell-commands.ts';

/** What a restart of a unit runs besides its main command; every command is its argv as systemd gives it. */
export interface UnitHooks {
  readonly execStartPre: readonly (readonly string[])[];
  readonly execStop: readonly (readonly string[])[];
  readonly execStopPost: readonly (readonly string[])[];
  readonly execStartPost?: readonly (readonly string[])[];
  readonly execReload?: readonly (readonly string[])[];
  readonly killMode: string;
}

/** What forbids a restart, and what a person should know about it. */
export interface HookVerdict {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** True of most nodes (it is systemd's default), and still worth a sentence before a restart. */
  readonly hints: readonly string[];
}

/**
 * Judges what a restart would run. Problems: stop commands that take containers, other services or the kubelet's
 * mounts down (UNIT_STOP_UNSAFE), a kubelet created as a container before the start (UNIT_WRAPPED). Warnings: what a
 * restart changes on the node, and stop commands that cannot be read. Commands inside `sh -c` are looked at one by one.
 */
export function dangerousHooks(unit: UnitHooks): HookVerdict {
  const findings = [
    ...inspect('ExecStartPre', unit.execStartPre, judgeStart),
    ...inspect('ExecStartPost', unit.execStartPost ?? [], judgeStart),
    ...inspect('ExecStop', unit.execStop, judgeStop),
    ...inspect('ExecStopPost', unit.execStopPost, judgeStop),
    ...killModeFindings(unit),
  ];
  const killsCgroup = unit.killMode !== 'process' && unit.killMode !== 'none';
  return {
    problems: findings.filter(({ severity }) => severity === 'problem').map(({ problem }) => problem),
    warnings: findings.filter(({ severity }) => severity === 'warning').map(({ problem }) => problem),
    hints: killsCgroup
      ? [
          `KillMode=${unit.killMode}: a restart also ends what the kubelet left in its own cgroup, such as FUSE mounts of volumes`,
        ]
      : [],
  };
}

interface Finding {
  readonly severity: 'problem' | 'warning';
  readonly problem: Problem;
}

function inspect(
  setting: string,
  commands: readonly (readonly string[])[],
  judge: (words: readonly string[]) => Judgement,
): readonly Finding[] {
  const findings: Finding[] = [];
  for (const argv of commands) {
    const said = new Set<string>();
    const known = rke2Leftovers.test(argv.join(' '));
    for (const words of shellCommands(argv)) {
      const judgement = known ? rke2Judgement(words) : judge(words);
      // Once a line: a pipeline of ten unknown programs is one thing to look at.
      if (judgement === undefined || said.has(judgement.why)) continue;
      said.add(judgement.why);
      findings.push({
        severity: judgement.severity,
        problem: {
          code: judgement.code,
          message: `${setting}= of the unit runs "${words.join(' ')}", ${judgement.why}`,
          next: `Look at that line; ${judgement.code === 'UNIT_WRAPPED' ? 'change the command there by hand' : 'take it out of the unit, or overrule with --force UNIT_STOP_UNSAFE'}.`,
        },
      });
    }
  }
  return findings;
}

// The line that rke2 ships. Containers live on: their shims stand in that listing with the path of the program, so that
// a number followed by `containerd` finds the daemon alone.
const rke2Leftovers =
  /^\S*sh -c systemd-cgls \/system\.slice\/rke2-\w+\.service \| grep -Eo '\[0-9\]\+ \(containerd\|kubelet\)' \| awk '\{print \$+1\}' \| xargs -r kill$/;

function rke2Judgement(words: readonly string[]): Judgement {
  return words[0] === 'kill'
    ? {
        severity: 'warning',
        code: 'UNIT_STOP_UNSAFE',
        why: "which ends rke2's own containerd and kubelet at every stop",
      }
    : undefined;
}

function killModeFindings(unit: UnitHooks): readonly Finding[] {
  const finding = (severity: Finding['severity'], message: string, next: string): readonly Finding[] => [
    { severity, problem: { code: 'UNIT_STOP_UNSAFE', message, next } },
  ];
  switch (unit.killMode) {
    case 'process':
      return [];
    case 'none':
      return unit.execStop.some((argv) => argv.some((word) => word.includes('MAINPID')))
        ? []
        : finding(
            'problem',
            'the unit has KillMode=none and no ExecStop= that ends the kubelet: a restart would leave the old one running beside the new one',
            'Set KillMode=process.',
          );
    default:
      return [];
  }
}
