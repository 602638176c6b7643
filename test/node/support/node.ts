import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { enterAndRun, enterAndStart } from './enter.ts';
import type { RunningCommand, RunOptions, RunResult } from './enter.ts';
import { bootWithInotify } from './inotify.ts';
import { inside } from './inside.ts';
import { installLayout } from './layout.ts';
import type { KubeletBinary, Layout } from './layout.ts';
import { claimHome, releaseHome } from './leftovers.ts';
import { bootDisk, cutPower, emptyDisk, fillDisk, makeDisk } from './machine.ts';
import type { Disk, Machine } from './machine.ts';
import { nodeBinary, projectDirectory, standinKubelet } from './project.ts';
import { installRealNode, realKubelet } from './real-kubelet.ts';
import { admitForReal } from './real-pods.ts';
import { prepareRoot } from './root.ts';
import { lowerRoot } from './tier.ts';
import { waitFor } from './wait.ts';
import type { WaitOptions } from './wait.ts';

export { realKubelet } from './real-kubelet.ts';
export { nodeTierUnavailable } from './tier.ts';
export { waitFor } from './wait.ts';
export type { RunningCommand, RunOptions, RunResult } from './enter.ts';

export interface NodeOptions {
  /** A directory of test/fixtures/layouts. */
  readonly layout: string;
  /** The root that the node is made of; NODE_ROOT, else this machine's own. */
  readonly root?: string;
  /** `standin` where a test is about it; else KUBELET, else the stand-in. */
  readonly kubelet?: 'standin';
  /** Version that the stand-in claims, like v1.28.2; the layout's, else v1.36.2. A real kubelet claims its own. */
  readonly version?: string;
  /** Faults from the first boot on, see test/standin/kubelet.c; a real kubelet is made to show most of them. */
  readonly faults?: readonly string[];
  /** Last changes to the files before the first boot: path in the node → text. */
  readonly files?: Readonly<Record<string, string>>;
  /** Whether to wait until the kubelet is active and healthy; the layout's `active` unless told. */
  readonly waitForKubelet?: boolean;
  readonly diskMiB?: number;
}

/** The part of a tap test that disposes of the node when the test ends, however it ends. */
export interface Teardown {
  teardown(dispose: () => Promise<void>): unknown;
}

/** Boots a throw-away node: real systemd, real D-Bus, real files; nothing on this machine changes. */
export async function bootNode(options: NodeOptions, test?: Teardown): Promise<TestNode> {
  const { home, name } = claimHome(options.layout);
  const node = new TestNode(home, name, options);
  test?.teardown(async () => node.dispose());
  try {
    await node.boot();
  } catch (error) {
    await node.dispose();
    throw error;
  }
  return node;
}

/** A booted node. Paths are the node's own, absolute; commands run in all of its namespaces. */
export class TestNode {
  readonly name: string;
  readonly layout: Layout;
  readonly unit: string;
  /** Whether KUBELET's runs here, and not the stand-in. */
  readonly real: boolean;
  readonly #disk: Disk;
  readonly #kubelet: KubeletBinary;
  readonly #expectKubelet: boolean;
  #machine: Machine | undefined;

  constructor(home: string, name: string, options: NodeOptions) {
    const lower = options.root ?? lowerRoot();
    const real = options.kubelet === 'standin' ? undefined : realKubelet();
    this.name = name;
    this.real = real !== undefined;
    this.#kubelet = { path: real ?? standinKubelet, real: this.real };
    this.#disk = makeDisk(home, name, lower, options.diskMiB ?? (this.real ? 1024 : 512));
    prepareRoot(this.#disk.root, name);
    if (this.real) installRealNode(this.#disk.root, lower);
    this.layout = installLayout(this.#disk.root, options.layout, this.#kubelet);
    this.unit = this.layout.unit;
    this.#expectKubelet = options.waitForKubelet ?? this.layout.active;
    if (options.version !== undefined) {
      this.write('/etc/standin-kubelet.conf', `STANDIN_VERSION=${options.version}\n`);
    }
    if (options.faults !== undefined) this.faults(options.faults);
    for (const [path, text] of Object.entries(options.files ?? {})) this.write(path, text);
  }

  /** The process id of the node's first process, as seen from here. */
  get pid(): number {
    return this.#running().leader.pid;
  }

  /** The node's root directory, as seen from here; an absolute symbolic link in it leads outside. */
  get dir(): string {
    return this.#machine === undefined ? this.#disk.root : `/proc/${this.#machine.leader.pid}/root`;
  }

  /** Runs a command to its end. The code says how it went; only a missed deadline (60 s) throws. */
  async exec(command: readonly string[], options?: RunOptions): Promise<RunResult> {
    return enterAndRun(this.pid, command, options);
  }

  /** Starts a command that a test wants to watch or kill. */
  async spawn(command: readonly string[], options?: RunOptions): Promise<RunningCommand> {
    return enterAndStart(this.pid, command, options);
  }

  /** Runs the built agent on the node. */
  async agent(args: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.exec(this.agentCommand(args), { deadlineMs: 120_000, ...options });
  }

  /** The command line that runs the built agent on the node, for `spawn`. */
  agentCommand(args: readonly string[]): string[] {
    return ['/opt/agent/node', '/opt/agent/dist/kubelet-sysctl-agent.cjs', ...args];
  }

  /** Runs systemctl and gives what it printed; throws when it fails. */
  async systemctl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.exec(['systemctl', '--no-pager', ...args]);
    if (code !== 0) throw new Error(`systemctl ${args.join(' ')} gave ${code}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** One property of a unit, as `systemctl show` prints it. */
  async property(name: string, unit = this.unit): Promise<string> {
    return this.systemctl('show', '-P', name, unit);
  }

  /** Status and body of the kubelet's /healthz; undefined when nobody answers. */
  async healthz(address = this.layout.healthz): Promise<{ status: number; body: string } | undefined> {
    if (address === null) return undefined;
    const ask = `exec 3<>"/dev/tcp/\${0%:*}/\${0##*:}" && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3`;
    const command = ['-t', String(this.pid), '-n', '--', 'bash', '-c', ask, address];
    const { stdout } = await execa('nsenter', command, { reject: false, timeout: 5000 });
    const answer = /^HTTP\/1\.[01] (\d+)[^]*?\r\n\r\n([^]*)$/.exec(stdout);
    return answer ? { status: Number(answer[1]), body: answer[2] ?? '' } : undefined;
  }

  /**
   * Whether the running kubelet admits a pod with these sysctls (`name=value`). The stand-in is asked; a real one is
   * given such a pod, which is taken away again.
   */
  async admit(...sysctls: readonly string[]): Promise<{ admitted: boolean; message: string }> {
    if (this.real) return admitForReal(this, sysctls);
    const { code, stdout, stderr } = await this.exec(['/opt/agent/kubelet', '--standin-admit', ...sysctls]);
    if (code > 1) throw new Error(stderr);
    return { admitted: code === 0, message: stdout.trimEnd() };
  }

  /** Faults for the next starts of the kubelet; an empty list makes it healthy. */
  faults(lines: readonly string[]): void {
    this.write('/etc/standin-kubelet.faults', lines.map((line) => `${line}\n`).join(''));
  }

  write(path: string, text: string | Buffer, mode?: number): void {
    const target = inside(this.dir, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
    if (mode !== undefined) chmodSync(target, mode);
  }

  read(path: string): Buffer {
    return readFileSync(inside(this.dir, path));
  }

  exists(path: string): boolean {
    return existsSync(inside(this.dir, path));
  }

  /** Identifies the boot; another one after a power cut. */
  async bootId(): Promise<string> {
    return (await this.exec(['cat', '/proc/sys/kernel/random/boot_id'])).stdout.trim();
  }

  /** The log of a unit, or of everything, since the node's first boot. */
  async journal(unit?: string): Promise<string> {
    const filter = unit === undefined ? [] : ['-u', unit];
    return (await this.exec(['journalctl', '--no-pager', '-q', '-o', 'short-precise', ...filter])).stdout;
  }

  /** Waits for a condition of this node; a missed deadline shows the end of the kubelet's log. */
  async waitFor<T>(
    ask: () => Promise<T | false | undefined> | T | false | undefined,
    options: WaitOptions,
  ): Promise<T> {
    const explain = async (): Promise<string> => (await this.journal()).split('\n').slice(-30).join('\n');
    return waitFor(ask, { explain, ...options });
  }

  /** Waits until the kubelet is active with no job queued, and /healthz says ok where it is on. */
  async waitForKubelet(deadlineMs = 20_000): Promise<void> {
    await this.waitFor(
      async () => {
        const shown = await this.systemctl('show', '-p', 'ActiveState,SubState,Job,ExecMainPID', this.unit);
        if (!shown.includes('ActiveState=active\nSubState=running') || /^Job=\d/m.test(shown)) return false;
        if (this.layout.healthz !== null) return (await this.healthz())?.body === 'ok';
        if (this.real) return await this.serves();
        // No health endpoint: the stand-in writes its process id once it took the allowlist.
        const started = this.read('/run/standin-kubelet/pid').toString().trim();
        return shown.includes(`ExecMainPID=${started}\n`) || shown.endsWith(`ExecMainPID=${started}`);
      },
      { what: `${this.unit} on ${this.name} to be active and healthy`, deadlineMs },
    );
  }

  /** Whether a real kubelet answers on its own port, as it does once it has started. */
  async serves(): Promise<boolean> {
    const address = ['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/10250'];
    return (await this.exec(address)).code === 0;
  }

  /** All processes die at once; then the node boots again from what was on its disk. /run and /tmp are lost. */
  async powerCut(): Promise<void> {
    await this.powerOff();
    await this.boot();
  }

  /** The first half of a power cut: everything is dead; `boot` goes on. Files can be read and written meanwhile. */
  async powerOff(): Promise<void> {
    const machine = this.#running();
    await cutPower(this.#disk, machine);
    this.#machine = undefined;
  }

  /** Boots, and waits for D-Bus and (where the layout has one that works) for the kubelet. */
  async boot(): Promise<void> {
    if (this.real) await bootWithInotify(async () => this.#boot());
    else await this.#boot();
  }

  async #boot(): Promise<void> {
    this.#machine = await bootDisk(this.#disk, {
      binds: binds(this.#kubelet.path),
      // A container runtime gives each container a keyring, and (control groups 2) a filter of devices.
      systemCalls: this.real ? ['@keyring', 'bpf'] : [],
    });
    await this.waitFor(
      async () => {
        const asked = ['systemctl', 'is-active', 'basic.target', 'dbus.service'];
        return (await this.exec(asked)).stdout === 'active\nactive\n';
      },
      { what: `${this.name} to reach basic.target`, deadlineMs: 30_000 },
    );
    if (this.#expectKubelet) await this.waitForKubelet();
  }

  /** Makes a directory read-only until the function that it gives is called, or the power is cut. */
  async makeReadOnly(path: string): Promise<() => Promise<void>> {
    await this.#must(['mount', '--bind', path, path]);
    await this.#must(['mount', '-o', 'remount,ro,bind', path]);
    return async () => this.#must(['umount', '-l', path]);
  }

  /** Fills the disk up to the last `freeBytes`; /run and /tmp are not on it. Outlives a power cut. */
  fillDisk(freeBytes = 0): void {
    fillDisk(this.#disk, freeBytes);
  }

  emptyDisk(): void {
    emptyDisk(this.#disk);
  }

  /** Ends the bus daemon. systemd itself stays reachable over /run/systemd/private. */
  async stopDBus(): Promise<void> {
    await this.systemctl('stop', 'dbus.socket', 'dbus.service');
  }

  async startDBus(): Promise<void> {
    await this.systemctl('start', 'dbus.socket', 'dbus.service');
  }

  /** Kills the node and removes every trace of it; can be called twice. */
  async dispose(): Promise<void> {
    releaseHome(this.#disk.home);
    this.#machine = undefined;
    return Promise.resolve();
  }

  #running(): Machine {
    if (this.#machine === undefined) throw new Error(`${this.name} is not running`);
    return this.#machine;
  }

  async #must(command: readonly string[]): Promise<void> {
    const { code, stderr } = await this.exec(command);
    if (code !== 0) throw new Error(`${command.join(' ')} gave ${code}: ${stderr}`);
  }
}

// Bound, not copied: a test sees the newest build, and any root will do.
function binds(kubelet: string): Map<string, string> {
  const dist = join(projectDirectory, 'dist');
  mkdirSync(dist, { recursive: true });
  return new Map([
    [nodeBinary(), '/opt/agent/node'],
    [dist, '/opt/agent/dist'],
    [kubelet, '/opt/agent/kubelet'],
  ]);
}
