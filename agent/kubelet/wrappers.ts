import type { Problem } from '../errors.ts';

/** A program that stands between systemd and the kubelet, and why a flag in the unit would not do. */
export interface Wrapper {
  /** The wrapper as an admin would call it: `sh -c`, `docker run`, `script`, `kubenswrapper`. */
  readonly wrapper: string;
  /** Whether the unit's process may turn into the kubelet: not that of a container, nor a shell with its own words. */
  readonly mayBecomeKubelet: boolean;
  readonly problem: Problem;
}

/** The wrapper that a program and its arguments are; undefined where nothing says that a kubelet is behind it. */
export function wrapperOf(program: string, args: readonly string[]): Wrapper | undefined {
  if (shells.has(program)) return shell(args);
  if (program === 'busybox' && shells.has(args[0] ?? '')) return shell(args.slice(1));
  if (interpreters.test(program) || /\.(sh|bash|py|pl|rb)$/.test(program)) return script();
  if (containerTools.has(program)) return container(program, args);
  if (/^kubelet[-_.]/.test(program)) return script();
  if (prefixPrograms.has(program) || args.some((arg) => /(^|\/)(kubelet|hyperkube)$/.test(arg)))
    return prefix(program);
  return undefined;
}

const shells: ReadonlySet<string> = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh']);
const interpreters = /^(python|perl|ruby)[\d.]*$/;
const containerTools: ReadonlySet<string> = new Set([
  'docker',
  'podman',
  'nerdctl',
  'rkt',
  'ctr',
  'crictl',
  'runc',
  'crun',
]);
const containerVerbs: ReadonlySet<string> = new Set([
  'run',
  'start',
  'logs',
  'attach',
  'exec',
  'wait',
  'create',
  'compose',
  'run-prepared',
]);
const prefixPrograms: ReadonlySet<string> = new Set([
  'kubenswrapper',
  'kubensenter',
  'systemd-inhibit',
  'health-monitor',
]);

const ownFile =
  'let ExecStart= start the kubelet itself, or write the list by hand into the file that its --config names.';

function shell(args: readonly string[]): Wrapper {
  // -c may stand in a bundle: -ec, -lc.
  if (!args.some((arg) => /^-[a-z]*c$/.test(arg))) return script();
  return wrapped(
    false,
    'sh -c',
    'the unit starts a shell that gets the command as one word: a flag put behind it becomes $0 of that shell, and the kubelet starts without it',
    `Put the flag inside the quoted command by hand, ${ownFile}`,
  );
}

function script(): Wrapper {
  return wrapped(
    true,
    'script',
    'the unit starts a script, and no running kubelet shows that it hands its arguments on',
    `Put the flag into the script by hand, ${ownFile}`,
  );
}

function container(program: string, args: readonly string[]): Wrapper {
  const verb = args.find((arg) => containerVerbs.has(arg));
  const name = verb === undefined ? program : `${program} ${verb}`;
  if (verb === 'logs' || verb === 'attach' || verb === 'wait' || verb === 'start') {
    return wrapped(
      false,
      name,
      `the unit runs "${name}": the kubelet is a container that something else created, and its command is fixed since then`,
      'Add the flag where that container is created.',
    );
  }
  return wrapped(
    false,
    name,
    `the unit runs "${name}": the kubelet is a container, its process is not the unit's, and its health cannot be told from the unit`,
    `Add the flag behind the image's kubelet command by hand, or write the list into the file that its --config names.`,
  );
}

function prefix(program: string): Wrapper {
  return wrapped(
    true,
    program,
    `the unit starts the kubelet through ${program}, and no running kubelet shows that it hands a flag on`,
    `Add the flag at the end of the command by hand, ${ownFile}`,
  );
}

function wrapped(mayBecomeKubelet: boolean, wrapper: string, message: string, next: string): Wrapper {
  return { wrapper, mayBecomeKubelet, problem: { code: 'UNIT_WRAPPED', message, next } };
}
