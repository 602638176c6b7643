import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { readManifests } from '../manifests/support/documents.ts';
import { bootNode, nodeTierUnavailable } from '../node/support/node.ts';

const run = promisify(execFile);

async function whyNoImages(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'needs root, for buildah without user namespaces';
  if (!existsSync('dist/kubelet-sysctl-agent.cjs')) return 'needs the bundle: npm run build';
  return run('buildah', ['--version']).then(
    () => undefined,
    () => 'needs buildah',
  );
}

const skip = (await whyNoImages()) ?? false;

interface Image {
  readonly home: string;
  readonly printed: string;
  /** Its one layer, as a tar file. */
  readonly layer: string;
  readonly digest: string;
  readonly config: ImageConfig;
}

interface ImageConfig {
  readonly config: {
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
}

/** Builds the image as scripts/image does, in a store of its own, and takes its archive apart. */
async function build(home: string, name: string): Promise<Image> {
  const store = path.join(home, 'storage.conf');
  writeFileSync(store, `[storage]\ndriver = "vfs"\ngraphroot = "${home}/graph"\nrunroot = "${home}/run"\n`);
  const archive = path.join(home, `${name}.tar`);
  const env = {
    ...process.env,
    CONTAINERS_STORAGE_CONF: store,
    SOURCE_DATE_EPOCH: '1000000000',
    REVISION: 'test',
  };
  const { stdout } = await run('scripts/image', ['--no-build', '--from-machine', '--archive', archive], {
    env,
  });
  const unpacked = path.join(home, name);
  mkdirSync(unpacked);
  await run('tar', ['-xf', archive, '-C', unpacked]);
  const json = (file: string): unknown => JSON.parse(readFileSync(path.join(unpacked, file), 'utf8'));
  const blob = (digest: string): string => `blobs/sha256/${digest.replace('sha256:', '')}`;
  const index = json('index.json') as { manifests: readonly { digest: string }[] };
  const digest = index.manifests[0]?.digest ?? '';
  const manifest = json(blob(digest)) as {
    config: { digest: string };
    layers: readonly { digest: string }[];
  };
  if (manifest.layers.length !== 1) throw new Error(`${manifest.layers.length} layers`);
  return {
    home,
    printed: stdout,
    layer: path.join(unpacked, blob(manifest.layers[0]?.digest ?? '')),
    digest,
    config: json(blob(manifest.config.digest)) as ImageConfig,
  };
}

void t.test('the image', { skip, timeout: 300_000 }, async (t) => {
  mkdirSync('.work', { recursive: true });
  const home = mkdtempSync(path.resolve('.work/image-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const image = await build(home, 'first');

  void t.test('holds the agent, Node, nsenter, their libraries, and nothing else', async (t) => {
    const { stdout } = await run('tar', ['-tzf', image.layer]);
    const files = stdout.split('\n').filter((name) => name !== '' && !name.endsWith('/'));
    const other = files.filter(
      (name) => !/^(lib|lib64|usr\/lib|usr\/lib64)\/([a-z0-9_-]+\/)?[A-Za-z0-9_+.-]+\.so(\.\d+)*$/.test(name),
    );
    t.strictSame(other.sort(), [
      'etc/group',
      'etc/passwd',
      'usr/bin/kubelet-sysctl-agent',
      'usr/bin/nsenter',
      'usr/lib/kubelet-sysctl-agent/kubelet-sysctl-agent.cjs',
      'usr/local/bin/node',
      'usr/share/doc/kubelet-sysctl-agent/LICENSE',
      'var/run',
    ]);
    t.ok(files.length - other.length < 20, 'few libraries');
  });

  void t.test('runs the agent by default, with the flags that keep it small', async (t) => {
    const { Entrypoint, Cmd, Env, Labels } = image.config.config;
    t.strictSame(Cmd, ['run', '--root=/host']);
    t.equal(Entrypoint[0], '/usr/local/bin/node');
    t.equal(Entrypoint.at(-1), '/usr/lib/kubelet-sysctl-agent/kubelet-sysctl-agent.cjs');
    t.ok(Entrypoint.includes('--jitless'));
    t.ok(Env.includes('MALLOC_ARENA_MAX=1'));
    t.equal(Labels['org.opencontainers.image.revision'], 'test');
  });

  void t.test('tells its size by part', async (t) => {
    t.match(
      image.printed,
      /^ {2}node +\d+\.\d\d MiB\n {2}libraries +\d+\.\d\d MiB\n {2}agent +\d+\.\d\d MiB$/m,
    );
    const all = Number(/^ {2}all +([\d.]+) MiB$/m.exec(image.printed)?.[1]);
    t.ok(all > 50 && all < 160, `${all} MiB`);
  });

  void t.test('is the same when it is built again', async (t) => {
    t.equal((await build(home, 'second')).digest, image.digest);
  });

  void t.test('on a node', { skip: nodeTierUnavailable() ?? false }, async (t) => {
    const node = await bootNode({ layout: 'icp', files: { '/etc/cfc/kubelet/kubelet-config': '{}\n' } }, t);
    const root = '/var/lib/image';
    mkdirSync(path.join(node.dir, root), { recursive: true });
    await run('tar', ['-xzf', image.layer, '-C', path.join(node.dir, root)]);
    const { Entrypoint, Env } = image.config.config;
    // What a container runtime would do, as far as the agent can tell: its own root, the host's at /host, the host's pids.
    const mounts = ['/ host', '/proc proc', '/dev dev'].map(
      (pair) => `mount --rbind ${pair.replace(' ', ` ${root}/`)}`,
    );
    const readOnly = `mount --bind ${root}/proc/sys ${root}/proc/sys && mount -o remount,bind,ro ${root}/proc/sys`;
    const inContainer = async (
      preparation: readonly string[],
      wrapper: string,
      args: readonly string[],
    ): ReturnType<typeof node.exec> => {
      const script = [...mounts, ...preparation, `exec ${wrapper} chroot ${root} "$@"`].join(' && ');
      const shell = [
        '/usr/bin/unshare',
        '--mount',
        '--propagation=slave',
        '/bin/sh',
        '-c',
        `PATH=/usr/sbin:/usr/bin:/sbin:/bin; ${script}`,
      ];
      return node.exec(['env', '-i', ...Env, ...shell, 'sh', ...Entrypoint, ...args], {
        deadlineMs: 120_000,
      });
    };
    const privileged = async (...args: readonly string[]): ReturnType<typeof node.exec> =>
      inContainer([], '', args);
    const hardened = async (
      capabilities: readonly string[],
      ...args: readonly string[]
    ): ReturnType<typeof node.exec> => {
      const set = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',');
      return inContainer([readOnly], `setpriv --no-new-privs --bounding-set=${set} --inh-caps=-all --`, args);
    };
    const wish = (entry: string): readonly string[] => ['--root=/host', `--allow=${entry}`, '--probation=1s'];
    const version = (stdout: string): string | null =>
      (JSON.parse(stdout) as { observed: { kubeletVersion: string | null } }).observed.kubeletVersion;

    void t.test('privileged: applies a policy', async (t) => {
      t.equal((await privileged('--version')).code, 0);
      t.equal((await node.admit('net.core.somaxconn=512')).admitted, false);
      const planned = await privileged('plan', ...wish('net.core.somaxconn'), '--output=json');
      t.equal(planned.code, 2, planned.stderr);
      t.match(version(planned.stdout), /^v1\./, 'the kubelet was asked for its version on the host');
      const applied = await privileged('apply', ...wish('net.core.somaxconn'));
      t.equal(applied.code, 0, applied.stdout + applied.stderr);
      t.same(await node.admit('net.core.somaxconn=512'), { admitted: true, message: 'Running' });
      t.ok(readdirSync(path.join(node.dir, 'var/lib/kubelet-sysctl-agent')).includes('journal.json'));
    });

    void t.test(
      'hardened: the capabilities of the overlay are enough, and none of them is too much',
      async (t) => {
        const [patch] = readManifests('overlays/hardened/daemonset.yaml');
        const { add } = (patch as unknown as Patch).spec.template.spec.containers[0].securityContext
          .capabilities;
        const planned = await hardened(add, 'plan', ...wish('net.ipv4.tcp_ecn'), '--output=json');
        t.equal(planned.code, 2, planned.stderr);
        t.match(version(planned.stdout), /^v1\./);
        const applied = await hardened(add, 'apply', ...wish('net.ipv4.tcp_ecn'));
        t.equal(applied.code, 0, applied.stdout + applied.stderr);
        t.equal((await node.admit('net.ipv4.tcp_ecn=1')).admitted, true);
        // Without SYS_CHROOT nobody could be put into this container: chroot(8) is how this test does it.
        for (const left of add.filter((name) => name !== 'SYS_CHROOT')) {
          const less = await hardened(
            add.filter((name) => name !== left),
            'plan',
            ...wish('net.ipv4.tcp_sack'),
            '--output=json',
          );
          t.ok(less.code === 3 || version(less.stdout) === null, `without ${left}`);
        }
      },
    );
  });
});

interface Patch {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly [
          { readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } } },
        ];
      };
    };
  };
}
