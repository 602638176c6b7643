import type { Problem } from '../errors.ts';
import { sameWords } from '../kubelet/argv.ts';
import { dangerousHooks } from '../kubelet/hooks.ts';
import { driftedKernelDefaults, kernelDefaultsProblem } from '../kubelet/kernel-defaults.ts';
import { becameKubelet, kubeletArgs } from './became-kubelet.ts';
import { type KubeletFacts, readFacts } from './facts.ts';
import type { LoadedUnit, ObservedFile, ObservedNode } from './observed.ts';
import { startProblems } from './start-conditions.ts';
import { reloadProblems } from './unit-problems.ts';

/** A kubelet that was restarted by systemd must have been up for this long before we restart it ourselves. */
const settledAfterMs = 60_000;

/** Why a restart of this kubelet is not ours to risk (facts of the unit, the process and the node). */
export function restartProblems(
  observed: ObservedNode,
  facts: KubeletFacts,
  nowMs: number,
): readonly Problem[] {
  const { unit, config } = facts;
  const problems: Problem[] = [];
  const say = (code: Problem['code'], message: string, next: string): number =>
    problems.push({ code, message, next });
  const upForMs = nowMs - unit.mainStartedAtMs;

  if (unit.activeState !== 'active') {
    say(
      'UNIT_NOT_ACTIVE',
      `${unit.id} is ${unit.activeState} (${unit.subState}): a kubelet that does not run cannot prove that it still does`,
      `get it to run first; \`journalctl -u ${unit.id}\` says why it does not`,
    );
    return problems;
  }
  if (unit.jobQueued)
    say(
      'UNIT_JOB_QUEUED',
      `systemd has a job queued for ${unit.id}`,
      'wait until it is done, then try again',
    );
  if (!unit.mayRestart)
    say(
      'UNIT_NOT_RESTARTABLE',
      `systemd refuses to restart ${unit.id}: it has RefuseManualStart= or RefuseManualStop=`,
      'take that setting out of the unit',
    );
  // A negative age is that of a clock which was set back: it says nothing, and would refuse until the clock catches up.
  if (unit.nRestarts > 0 && upForMs >= 0 && upForMs < settledAfterMs) {
    say(
      'UNIT_UNSTABLE',
      `systemd restarted ${unit.id} ${unit.nRestarts} times, the last time ${Math.round(upForMs / 1000)} s ago`,
      `find out why with \`journalctl -u ${unit.id}\`, or wait until it has been up for a minute`,
    );
  }
  if (observed.health === 'unhealthy')
    say(
      'KUBELET_UNHEALTHY',
      "the kubelet's /healthz says that it is not well",
      `look at \`journalctl -u ${unit.id}\` first`,
    );
  problems.push(...processProblems(observed, facts));
  problems.push(...hooksOf(unit).problems);
  if (observed.startConditions !== undefined) {
    problems.push(...startProblems(observed.startConditions, nowMs));
  }
  if (config.protectKernelDefaults) {
    const drifted = kernelDefaultsProblem(driftedKernelDefaults((name) => valueOf(observed, name)));
    if (drifted !== undefined) problems.push(drifted);
  }
  return problems;
}

/** What speaks against restarting for a roll-back: less than for an apply, since the old command line has proven itself. */
export function restartProblemsForRollback(
  observed: ObservedNode,
  unit: LoadedUnit,
  nowMs: number,
): readonly Problem[] {
  const reading = readFacts(observed);
  if (!reading.ok) return reloadProblems(unit);
  return [...reloadProblems(unit), ...restartProblems(observed, reading.facts, nowMs)];
}

export function hooksOf(unit: LoadedUnit): ReturnType<typeof dangerousHooks> {
  return dangerousHooks({
    execStartPre: unit.execStartPre.map(({ argv }) => argv),
    execStop: unit.execStop.map(({ argv }) => argv),
    execStopPost: unit.execStopPost.map(({ argv }) => argv),
    killMode: unit.killMode,
  });
}

function processProblems(
  observed: ObservedNode,
  { unit, command, distribution }: KubeletFacts,
): readonly Problem[] {
  const { process } = observed;
  if (process === undefined) {
    return [
      {
        code: 'KUBELET_NOT_FOUND',
        message: `the main process ${unit.mainPid} of ${unit.id} cannot be looked at`,
        next: 'run the agent with hostPID, as root',
      },
    ];
  }
  const problems: Problem[] = [];
  if (process.executableDeleted) {
    problems.push({
      code: 'KUBELET_BINARY_CHANGED',
      message: `${process.executable} was replaced since the kubelet started: a restart would start another program, with other flags perhaps`,
      next: `restart it yourself when it suits you (\`systemctl restart ${unit.id}\`), then try again`,
    });
  }
  // k3s starts itself again under other names and hides its arguments: only its files tell of edits.
  if (distribution !== undefined) return [...problems, ...editedSinceStart(unit, distribution.files)];
  const name = process.executable.slice(process.executable.lastIndexOf('/') + 1);
  if (interpreters.test(name)) {
    problems.push({
      code: 'UNIT_WRAPPED',
      message: `${command.loaded.path} is a script run by ${name}; whether it hands a new flag on to the kubelet cannot be known`,
      next: 'put the flag where the script reads its flags, or start the kubelet itself in the unit',
    });
  } else if (
    !sameWords(process.argv, command.expanded) &&
    !(
      becameKubelet(observed, command) &&
      sameWords(kubeletArgs(process) ?? [], command.expanded.slice(command.argsFrom))
    )
  ) {
    problems.push({
      code: 'UNIT_CHANGED_SINCE_START',
      message: `the running kubelet has another command line than its unit says now (${firstDifference(process.argv, command.expanded)}): a restart would bring that edit into force as well`,
      next: `restart it yourself when it suits you (\`systemctl restart ${unit.id}\`), then try again`,
    });
  } else {
    problems.push(...editedSinceStart(unit, [observed.kubeletConfig, ...observed.kubeletConfigDropIns]));
  }
  return problems;
}

function editedSinceStart(
  unit: LoadedUnit,
  files: readonly (ObservedFile | undefined)[],
): readonly Problem[] {
  return files
    .filter((file) => file !== undefined)
    .filter((file) => file.mtimeMs > unit.mainStartedAtMs + 1_000)
    .map(({ path }) => ({
      code: 'UNIT_CHANGED_SINCE_START',
      message: `${path} was changed after the kubelet started: a restart would bring that edit into force as well`,
      next: `restart it yourself when it suits you (\`systemctl restart ${unit.id}\`), then try again`,
    }));
}

const interpreters = /^(ba|da|k|z)?sh$|^busybox$|^python[\d.]*$|^perl$|^env$/;

function firstDifference(running: readonly string[], written: readonly string[]): string {
  const index = running.findIndex((word, at) => word !== written[at]);
  const at = index === -1 ? running.length : index;
  return `word ${at + 1} runs as ${JSON.stringify(running[at] ?? null)} and is written as ${JSON.stringify(written[at] ?? null)}`;
}

function valueOf(observed: ObservedNode, name: string): string | undefined {
  const reading = observed.sysctls[name];
  return reading?.kind === 'value' ? reading.value : undefined;
}
