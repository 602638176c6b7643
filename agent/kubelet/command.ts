import type { Problem } from '../errors.ts';
import { distributionOf } from './distributions.ts';
import type { DistributionName } from './distributions.ts';
import { wrapperOf } from './wrappers.ts';

/** What the command of a unit starts. Only `kubelet` has a place where a flag reaches the kubelet for certain. */
export type CommandKind =
  | {
      readonly kind: 'kubelet';
      readonly executable: string;
      /** argv index where the kubelet's flags begin: 1, or 2 for hyperkube. */
      readonly argsFrom: number;
    }
  | {
      readonly kind: 'wrapper';
      readonly wrapper: string;
      readonly mayBecomeKubelet: boolean;
      readonly problem: Problem;
    }
  | { readonly kind: 'distribution'; readonly name: DistributionName; readonly problem: Problem }
  | { readonly kind: 'unknown'; readonly problem: Problem };

/**
 * Tells from systemd's ExecStart (path and argv after unquoting) what is started. It goes by names: a shell script
 * called `kubelet` looks like one (kubespray's docker mode), so the caller compares with /proc/PID/exe.
 */
export function classifyCommand(path: string, argv: readonly string[]): CommandKind {
  const program = basename(path);
  if (program === '' || argv.length === 0) {
    return unknown(
      'UNIT_HAS_NO_COMMAND',
      'the unit has no command to start',
      'Look at its ExecStart= lines.',
    );
  }
  if (kubeletName.test(program)) return { kind: 'kubelet', executable: path, argsFrom: 1 };
  if (program === 'hyperkube' && argv[1] === 'kubelet')
    return { kind: 'kubelet', executable: path, argsFrom: 2 };

  const distribution = distributionOf(program, argv.slice(1));
  if (distribution !== undefined) return { kind: 'distribution', ...distribution };

  const wrapper = wrapperOf(program, argv.slice(1));
  if (wrapper !== undefined) return { kind: 'wrapper', ...wrapper };

  return unknown(
    'KUBELET_NOT_FOUND',
    `the unit starts ${path}, which is no kubelet that this agent knows`,
    'Name the unit that starts the kubelet with --unit.',
  );
}

/**
 * What a running process is: by the name that it was started under, else by its program. A script that becomes the
 * kubelet may keep its own name in argv[0].
 */
export function classifyProcess(process: {
  readonly argv: readonly string[];
  readonly executable: string;
}): CommandKind {
  const named = classifyCommand(process.argv[0] ?? '', process.argv);
  if (named.kind === 'kubelet') return named;
  const program = classifyCommand(process.executable, process.argv);
  return program.kind === 'kubelet' ? program : named;
}

// Version suffixes are what side-by-side installs use: kubelet-1.27.3, kubelet-v1.20. `kubelet.sh` and
// `kubelet-wrapper` are scripts.
const kubeletName = /^kubelet(-v?\d+(\.\d+)*)?$/;

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function unknown(
  code: 'UNIT_HAS_NO_COMMAND' | 'KUBELET_NOT_FOUND',
  message: string,
  next: string,
): CommandKind {
  return { kind: 'unknown', problem: { code, message, next } };
}
