import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { execaSync } from 'execa';
import { parseDocument } from 'yaml';
import { inside } from './inside.ts';
import { fixturesDirectory } from './project.ts';

const realNodeDirectory = join(fixturesDirectory, 'real-node');
const runtimeSocket = 'unix:///run/containerd/containerd.sock';

/** The kubelet that KUBELET names; undefined where the stand-in plays it. */
export function realKubelet(): string | undefined {
  const path = process.env['KUBELET'];
  return path === undefined || path === '' ? undefined : realpathSync(path);
}

/** Why a real kubelet cannot run on nodes made of `lower`; undefined when it can, or none is asked for. */
export function realKubeletUnavailable(lower: string): string | undefined {
  if (realKubelet() === undefined) return undefined;
  const missing = ['containerd', 'runc'].filter((program) => findProgram(lower, program) === undefined);
  if (findProgram('/', 'curl') === undefined) return 'KUBELET needs curl';
  return missing.length === 0
    ? undefined
    : `KUBELET needs ${missing.join(' and ')} on the PATH of ${lower === '/' ? 'this machine' : lower}`;
}

/** Puts a real kubelet under the name of the layout's. Hyperkube has been a script that becomes a kubelet since 1.17. */
export function installRealKubelet(root: string, path: string, kubelet: string): void {
  const target = inside(root, path);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  if (basename(path) !== 'hyperkube') {
    cpSync(kubelet, target);
    chmodSync(target, 0o755);
    return;
  }
  const behind = join(dirname(path), 'bin/kubelet');
  installRealKubelet(root, behind, kubelet);
  writeFileSync(target, `#!/bin/sh\nshift\nexec ${behind} "$@"\n`, { mode: 0o755 });
}

/** Puts what a real kubelet needs into a root that is not running: a container runtime, and files it may write. */
export function installRealNode(root: string, lower: string): void {
  rmSync(inside(root, '/etc/cni/net.d'), { recursive: true, force: true });
  cpSync(realNodeDirectory, root, { recursive: true });
  cpSync(join(realNodeDirectory, 'opt/cni/bin/none'), inside(root, '/opt/cni/bin/loopback'));
  const containerd = findProgram(lower, 'containerd') ?? '/usr/bin/containerd';
  const path = [...new Set([dirname(containerd), ...searchPath()])].join(':');
  writeFileSync(inside(root, '/etc/systemd/system/containerd.service'), containerdUnit(containerd, path));
  const wants = inside(root, '/etc/systemd/system/multi-user.target.wants');
  mkdirSync(wants, { recursive: true });
  mkdirSync(inside(root, '/etc/kubernetes/manifests'), { recursive: true });
  for (const unit of ['containerd.service', 'node-prepare.service', 'saboteur.service'])
    symlinkSync(`../${unit}`, join(wants, unit));
}

/**
 * Makes the files of a layout into those of a kubelet without an API server: flags that this kubelet does not know
 * go, and each --config gets what such a kubelet needs. Everything else stays, to the byte.
 */
export function adaptLayout(root: string, source: string, kubelet: string): void {
  const known = flagsOf(kubelet);
  for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === 'layout.json') continue;
    const path = join(entry.parentPath, entry.name).slice(source.length);
    const file = inside(root, path);
    const text = readFileSync(file, 'utf8');
    const adapted = /^kind: KubeletConfiguration$/m.test(text)
      ? path.includes('.conf.d/')
        ? text
        : configWithoutApiServer(text)
      : /\.(service|conf|env)$|^\/etc\/default\//.test(path)
        ? withoutFlags(text, (name, value) => !known.has(name) || needsApiServer(name, value))
        : text;
    if (adapted !== text) writeFileSync(file, adapted);
  }
}

// A flag goes with the blank or the continuation before it, so that one flag a line stays that.
function withoutFlags(text: string, unwanted: (name: string, value: string) => boolean): string {
  return text.replaceAll(
    /(?<before>[ \t]+\\\n[ \t]+|[ \t]+|(?<=["=]))--(?<name>[a-z][a-z0-9-]*)(?:=(?<value>[^\s"]*))?/g,
    (whole, _before: string, name: string, value: string | undefined) =>
      unwanted(name, value ?? '') ? '' : whole,
  );
}

function needsApiServer(name: string, value: string): boolean {
  if (name === 'kubeconfig' || name === 'bootstrap-kubeconfig') return true;
  // A kubelet may no longer give itself such labels, and exits.
  return name === 'node-labels' && value.includes('kubernetes.io/');
}

function configWithoutApiServer(text: string): string {
  const config = parseDocument(text);
  const settings: Readonly<Record<string, unknown>> = {
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    // containerd's own default; a kubelet that can ask the runtime takes the runtime's.
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    containerRuntimeEndpoint: runtimeSocket,
    // Not an empty list, which a directory of configuration files would turn back into the default.
    enforceNodeAllocatable: ['none'],
    evictionHard: { 'memory.available': '1Mi' },
    failCgroupV1: false,
    failSwapOn: false,
    fileCheckFrequency: '1s',
    localStorageCapacityIsolation: false,
    staticPodPath: '/etc/kubernetes/manifests',
  };
  for (const [key, value] of Object.entries(settings)) config.set(key, value);
  config.delete('rotateCertificates');
  return config.toString({ lineWidth: 0 });
}

function flagsOf(kubelet: string): ReadonlySet<string> {
  const { stdout } = execaSync(kubelet, ['--help']);
  const flags = new Set(
    [...stdout.matchAll(/^ +(?:-\w, )?--([a-z][a-z0-9-]*)/gm)].map((match) => match[1] ?? ''),
  );
  if (!flags.has('config')) throw new Error(`${kubelet} --help names no flags of a kubelet`);
  return flags;
}

function containerdUnit(program: string, path: string): string {
  return `[Unit]
Description=containerd of a throw-away node
After=node-prepare.service
Before=kubelet.service

[Service]
Type=notify
Environment=PATH=${path}
# It looks there for reasons to leave AppArmor alone.
Environment=container=systemd-nspawn
ExecStart=${program} -c /etc/containerd/node.toml
Delegate=yes
KillMode=process
Restart=always
RestartSec=1
`;
}

/** Where a root holds a program of this machine's PATH or of a usual directory; undefined where it does not. */
function findProgram(lower: string, program: string): string | undefined {
  return searchPath()
    .map((directory) => join(directory, program))
    .find((path) => isProgram(inside(lower, path)));
}

function searchPath(): readonly string[] {
  const usual = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  return [...new Set([...(process.env['PATH'] ?? '').split(delimiter), ...usual])].filter((directory) =>
    directory.startsWith('/'),
  );
}

function isProgram(path: string): boolean {
  return execaSync('test', ['-x', path], { reject: false }).exitCode === 0;
}
