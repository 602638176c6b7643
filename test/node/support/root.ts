import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { inside, insideUnfollowed } from './inside.ts';

// What the machine's root may hold of a kubelet, of an earlier agent, or of services that are no part of a test.
const unwanted = [
  '/etc/systemd/system',
  '/var/log/journal',
  '/var/lib/kubelet-sysctl-agent',
  '/var/lib/kubelet',
  '/etc/kubernetes',
  '/etc/default/kubelet',
  '/etc/sysconfig/kubelet',
  '/etc/cfc',
  '/etc/rancher',
  '/opt/kubernetes',
  '/opt/agent',
  '/usr/lib/systemd/system/kubelet.service',
  '/usr/lib/systemd/system/kubelet.service.d',
  '/usr/local/lib/systemd/system',
  ...['0', '1', '2', '3', '4', '5', '6', 'S'].map((level) => `/etc/rc${level}.d`),
];

// Units that only cost time in a container. Nothing that changes how services are run.
const masked = [
  'getty.target',
  'console-getty.service',
  'systemd-update-utmp.service',
  'systemd-update-utmp-runlevel.service',
  'systemd-hwdb-update.service',
  'ldconfig.service',
  'systemd-journal-catalog-update.service',
  'systemd-update-done.service',
  'dev-hugepages.mount',
];

/** Turns a mounted overlay of somebody's root into a quiet node that boots in about a second. */
export function prepareRoot(root: string, name: string): void {
  for (const path of unwanted) rmSync(insideUnfollowed(root, path), { recursive: true, force: true });
  const units = inside(root, '/etc/systemd/system');
  mkdirSync(units, { recursive: true });
  for (const unit of masked) symlinkSync('/dev/null', join(units, unit));
  maskGenerators(root);

  put(root, '/etc/hostname', `${name}\n`);
  put(root, '/etc/machine-id', `${randomUUID().replaceAll('-', '')}\n`);
  put(root, '/etc/fstab', '');
  put(root, '/etc/environment', '');
  // The journal of the boot before a power cut explains what happened: keep it on the disk.
  put(root, '/etc/systemd/journald.conf.d/50-node.conf', '[Journal]\nStorage=persistent\nSystemMaxUse=64M\n');
  mkdirSync(inside(root, '/var/log/journal'), { recursive: true });
}

// Generators of other packages (PostgreSQL's, cloud-init's) bring in services that nobody asked for.
function maskGenerators(root: string): void {
  const masks = inside(root, '/etc/systemd/system-generators');
  for (const directory of ['/usr/lib/systemd/system-generators', '/lib/systemd/system-generators']) {
    const here = inside(root, directory);
    if (!existsSync(here)) continue;
    for (const generator of readdirSync(here)) {
      const mask = join(masks, generator);
      if (generator.startsWith('systemd-') || lstatSync(mask, { throwIfNoEntry: false })) continue;
      mkdirSync(masks, { recursive: true });
      symlinkSync('/dev/null', mask);
    }
  }
}

function put(root: string, path: string, text: string): void {
  const target = insideUnfollowed(root, path);
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { force: true });
  writeFileSync(target, text);
}
