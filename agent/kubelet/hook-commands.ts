import { programOf } from './shell-commands.ts';

/** What a judge says about one simple command: nothing, or why it matters. */
export type Judgement =
  | {
      readonly severity: 'problem' | 'warning';
      readonly code: 'UNIT_STOP_UNSAFE' | 'UNIT_WRAPPED';
      readonly why: string;
    }
  | undefined;

/** Judges one command of ExecStartPre or ExecStartPost, which every restart runs. */
export function judgeStart(words: readonly string[]): Judgement {
  const program = programOf(words);
  const args = words.slice(1);
  const stopping = judgeContainerStop(words);
  if (stopping !== undefined) return stopping;
  if (containerTools.has(program) && args.includes('run')) {
    if (args.some((arg) => arg === '--detach' || /^-[a-z]*d[a-z]*$/.test(arg)) && !args.includes('--rm')) {
      return problem(
        'UNIT_WRAPPED',
        'which creates the container that the kubelet runs in: the unit has no command for a flag',
      );
    }
    return warning('which needs the container runtime and the image at every start of the kubelet');
  }
  if (reappliesSysctls(program, args)) {
    return warning('which sets the sysctls of sysctl.d again at every start of the kubelet');
  }
  if (program === 'curl' || program === 'wget' || (containerTools.has(program) && args.includes('pull'))) {
    return warning('which needs the network at every start of the kubelet');
  }
  if (program === 'rm' && args.some((arg) => /(cpu|memory)_manager_state/.test(arg))) {
    return warning("which forgets the kubelet's placement of CPUs or memory at every start");
  }
  if (program === 'iptables' && args.some((arg) => arg === '-A' || arg === '-I')) {
    return warning('which adds a rule once more at every start of the kubelet');
  }
  return undefined;
}

/** Judges one command of ExecStop or ExecStopPost. What cannot be read is a warning. */
export function judgeStop(words: readonly string[]): Judgement {
  const program = programOf(words);
  const args = words.slice(1);
  const stopping = judgeContainerStop(words);
  if (stopping !== undefined) return stopping;
  if (killers.has(program)) {
    return program === 'kill' &&
      args.length > 0 &&
      args.every((arg) => /^-|^\$?\{?MAINPID\}?$|^[A-Z]+$/.test(arg)) &&
      args.some((arg) => arg.includes('MAINPID'))
      ? undefined
      : problem('UNIT_STOP_UNSAFE', 'which ends processes besides the kubelet when the kubelet stops');
  }
  if (program === 'systemctl' && args.some((arg) => disruptiveVerbs.has(arg))) {
    return problem('UNIT_STOP_UNSAFE', 'which takes something else down with the kubelet');
  }
  if (powerCommands.has(program))
    return problem('UNIT_STOP_UNSAFE', 'which takes the node down with the kubelet');
  if ((program === 'umount' || program === 'rm') && args.some((arg) => nodeState.test(arg))) {
    return problem('UNIT_STOP_UNSAFE', 'which takes files or mounts away from running pods');
  }
  if (containerTools.has(program)) {
    return namesOnlyKubelet(args) || args.some((arg) => readingVerbs.has(arg)) ? undefined : unreadable;
  }
  return harmlessOnStop.has(program) ? undefined : unreadable;
}

const unreadable = warning('whose effect on running pods cannot be told');

const containerTools: ReadonlySet<string> = new Set([
  'docker',
  'podman',
  'nerdctl',
  'crictl',
  'ctr',
  'rkt',
  'runc',
  'crun',
]);
const stopVerbs: ReadonlySet<string> = new Set([
  'stop',
  'stopp',
  'kill',
  'rm',
  'rmp',
  'remove',
  'delete',
  'restart',
  'pause',
  'down',
  'prune',
]);
const readingVerbs: ReadonlySet<string> = new Set([
  'ps',
  'pods',
  'images',
  'info',
  'inspect',
  'inspectp',
  'list',
  'logs',
  'version',
]);
const killers: ReadonlySet<string> = new Set(['kill', 'pkill', 'killall', 'skill', 'fuser']);
const disruptiveVerbs: ReadonlySet<string> = new Set([
  'stop',
  'kill',
  'restart',
  'try-restart',
  'isolate',
  'poweroff',
  'reboot',
  'halt',
  'kexec',
]);
const powerCommands: ReadonlySet<string> = new Set(['reboot', 'poweroff', 'halt', 'shutdown']);
const harmlessOnStop: ReadonlySet<string> = new Set([
  ':',
  '[',
  'awk',
  'cat',
  'cut',
  'date',
  'done',
  'echo',
  'egrep',
  'fi',
  'grep',
  'head',
  'logger',
  'ls',
  'printf',
  'ps',
  'sed',
  'sleep',
  'sort',
  'sync',
  'tail',
  'test',
  'tr',
  'true',
  'wc',
]);
const nodeState =
  /^\/(var\/lib\/(kubelet|containerd|docker|containers|cni|etcd)|etc\/(kubernetes|cni)|run\/containerd|opt\/cni)(\/|$)/;

function judgeContainerStop(words: readonly string[]): Judgement {
  if (!containerTools.has(programOf(words))) return undefined;
  const args = words.slice(1);
  if (!args.some((arg) => stopVerbs.has(arg)) || namesOnlyKubelet(args) || startsContainer(args))
    return undefined;
  return problem('UNIT_STOP_UNSAFE', 'which stops containers: a restart of the kubelet would end pods');
}

/** `docker rm -f kubelet`, `rkt rm --uuid-file=/var/cache/kubelet-pod.uuid`: the kubelet's own container, nothing else. */
function namesOnlyKubelet(args: readonly string[]): boolean {
  const targets = args.filter((arg) => !arg.startsWith('-') && !stopVerbs.has(arg) && !/^\d+$/.test(arg));
  const files = args.filter((arg) => arg.startsWith('--uuid-file='));
  if (targets.length + files.length === 0) return false;
  return targets.every((target) => target === 'kubelet') && files.every((file) => file.includes('kubelet'));
}

/** `docker run --rm IMAGE`: the verb is run, and whatever looks like a stop is an argument of the container. */
function startsContainer(args: readonly string[]): boolean {
  const verb = args.find((arg) => !arg.startsWith('-'));
  return verb === 'run' || verb === 'create' || verb === 'exec';
}

function reappliesSysctls(program: string, args: readonly string[]): boolean {
  if (program === 'systemd-sysctl') return true;
  if (program === 'systemctl') return args.some((arg) => /^(systemd-sysctl|procps)(\.service)?$/.test(arg));
  return (
    program === 'sysctl' &&
    args.some((arg) => arg === '--system' || arg === '-p' || arg.startsWith('--load') || arg.startsWith('-p'))
  );
}

function problem(code: 'UNIT_STOP_UNSAFE' | 'UNIT_WRAPPED', why: string): Judgement {
  return { severity: 'problem', code, why };
}

function warning(why: string): Judgement {
  return { severity: 'warning', code: 'UNIT_STOP_UNSAFE', why };
}
