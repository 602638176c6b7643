import type { HostFiles } from '../host/files.ts';
import { guardName, guardUnit } from '../transaction/watchdog.ts';

const guardPath = `/etc/systemd/system/${guardName}`;
const wantsPath = `/etc/systemd/system/sysinit.target.wants/${guardName}`;

/** Puts the boot guard on disk, enabled. systemd reads it at the next boot; it needs no reload now. */
export async function installGuard(
  files: HostFiles,
  directory: string,
  stateDirectory: string,
  unit: string,
): Promise<void> {
  const found = await files.read(guardPath);
  await files.replace(
    guardPath,
    guardUnit(directory, stateDirectory, unit),
    { mode: 0o644, uid: 0, gid: 0 },
    found?.text ?? null,
  );
  await files.symlink(`../${guardName}`, wantsPath);
}

export async function removeGuard(files: HostFiles): Promise<void> {
  await files.discard(wantsPath);
  await files.discard(guardPath);
  await files.removeEmptyDirectory(wantsPath.slice(0, wantsPath.lastIndexOf('/')));
}
