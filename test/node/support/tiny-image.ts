import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execaSync } from 'execa';
import type { TestNode } from './node.ts';

/** The name that `importTinyImage` gives its image. */
export const tinyImage = 'tiny.invalid/pause:1';

const source = '#include <unistd.h>\nint main(void) { for (;;) pause(); }\n';

/** Why no image can be made here; undefined when one can. */
export function tinyImageUnavailable(): string | undefined {
  return program() === undefined ? 'needs a C compiler that links statically, or busybox-static' : undefined;
}

/**
 * Makes an image of one static program that waits for ever, and gives it to the node's container runtime: under its
 * own name, and under the one that the runtime's sandboxes are made of.
 */
export async function importTinyImage(node: TestNode): Promise<void> {
  const made = program();
  if (made === undefined) throw new Error(tinyImageUnavailable());
  const archive = join(mkdtempSync(join(tmpdir(), 'ksa-image-')), 'image.tar');
  try {
    writeArchive(archive, made, [tinyImage, await sandboxImage(node)]);
    node.write('/var/lib/image.tar', readFileSync(archive));
  } finally {
    rmSync(join(archive, '..'), { recursive: true, force: true });
  }
  const { code, stderr } = await node.exec(['ctr', '-n', 'k8s.io', 'images', 'import', '/var/lib/image.tar']);
  if (code !== 0) throw new Error(`ctr images import: ${stderr}`);
}

interface Program {
  readonly command: readonly string[];
  readonly install: (directory: string) => void;
}

function program(): Program | undefined {
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path) && isStatic(path));
  if (busybox !== undefined) {
    return {
      command: ['/busybox', 'sleep', '1000000000'],
      install: (directory) => cpSync(busybox, join(directory, 'busybox')),
    };
  }
  const compiler = ['cc', 'gcc'].find((name) => compile(name, join(tmpdir(), `ksa-pause-${process.pid}`)));
  if (compiler === undefined) return undefined;
  return {
    command: ['/pause'],
    install: (directory) => {
      if (!compile(compiler, join(directory, 'pause'))) throw new Error(`${compiler} failed`);
    },
  };
}

function compile(compiler: string, output: string): boolean {
  const built = execaSync(compiler, ['-static', '-O1', '-o', output, '-x', 'c', '-'], {
    input: source,
    reject: false,
  });
  if (built.exitCode === 0 && output.startsWith(tmpdir())) chmodSync(output, 0o755);
  return built.exitCode === 0;
}

function isStatic(path: string): boolean {
  // A program that needs a loader names it.
  return !readFileSync(path).subarray(0, 4096).includes('/ld-');
}

/** The name of the image that sandboxes are made of: each version of containerd has another one. */
async function sandboxImage(node: TestNode): Promise<string> {
  const { stdout } = await node.exec(['containerd', '-c', '/etc/containerd/node.toml', 'config', 'dump']);
  const name = /^\s*sandbox(?:_image)?\s*=\s*['"]([^'"]+)['"]/m.exec(stdout)?.[1];
  if (name === undefined) throw new Error('containerd config dump names no image for sandboxes');
  return name;
}

/** As `docker save` writes it, which every containerd can read. */
function writeArchive(archive: string, { command, install }: Program, names: readonly string[]): void {
  const directory = join(archive, '../parts');
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  install(root);
  execaSync('tar', ['-cf', join(directory, 'layer.tar'), '--owner=0', '--group=0', '-C', root, '.']);
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: command },
    rootfs: {
      type: 'layers',
      diff_ids: [
        `sha256:${createHash('sha256')
          .update(readFileSync(join(directory, 'layer.tar')))
          .digest('hex')}`,
      ],
    },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(
    join(directory, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: names, Layers: ['layer.tar'] }]),
  );
  execaSync('tar', ['-cf', archive, '-C', directory, 'manifest.json', 'config.json', 'layer.tar']);
}
