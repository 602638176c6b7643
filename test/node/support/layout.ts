import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { inside } from './inside.ts';
import { layoutsDirectory } from './project.ts';
import { adaptLayout, installRealKubelet } from './real-kubelet.ts';

const layoutSchema = z.strictObject({
  unit: z.string(),
  description: z.string(),
  /** Where the kubelet's binary stands. */
  kubelet: z.array(z.string()),
  /** Address and port of /healthz; null where it is off. */
  healthz: z.string().nullable().default('127.0.0.1:10248'),
  /** Whether the unit is enabled and expected to run after boot. */
  active: z.boolean().default(true),
});

export type Layout = z.infer<typeof layoutSchema>;

const unitDirectories = ['etc/systemd/system', 'usr/lib/systemd/system'];

/** Reads test/fixtures/layouts/NAME/layout.json. */
export function readLayout(name: string): Layout {
  const file = join(layoutsDirectory, name, 'layout.json');
  return layoutSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

/** Who plays the kubelet. */
export interface KubeletBinary {
  readonly path: string;
  readonly real: boolean;
}

/** Puts the files of a layout and the kubelet into a root that is not running, and enables the unit. */
export function installLayout(root: string, name: string, kubelet: KubeletBinary): Layout {
  const layout = readLayout(name);
  const source = join(layoutsDirectory, name);
  cpSync(source, root, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => path !== join(source, 'layout.json'),
  });
  for (const path of layout.kubelet) install(root, path, kubelet);
  if (kubelet.real) adaptLayout(root, source, kubelet.path);
  if (layout.active) enable(root, source, layout.unit);
  return layout;
}

function install(root: string, path: string, kubelet: KubeletBinary): void {
  if (kubelet.real) return installRealKubelet(root, path, kubelet.path);
  const target = inside(root, path);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  cpSync(kubelet.path, target);
  chmodSync(target, 0o755);
}

function enable(root: string, source: string, unit: string): void {
  const directory = unitDirectories.find((directory) => existsSync(join(source, directory, unit)));
  if (directory === undefined) throw new Error(`no ${unit} in ${basename(source)}`);
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  mkdirSync(wants, { recursive: true });
  symlinkSync(`/${directory}/${unit}`, join(wants, unit));
}
