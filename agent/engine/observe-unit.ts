import type { HostFiles } from '../host/files.ts';
import type { Systemd } from '../host/systemd.ts';
import { otherUnits } from '../kubelet/layouts.ts';
import type { LoadedUnit } from '../plan/observed.ts';
import { readImageUnit } from './observe-image.ts';

/**
 * The unit that was asked for. Where there is no kubelet.service, the unit of a distribution that starts its kubelet
 * under another name, the one that runs first; its own id tells which it is.
 */
export async function findUnit(
  files: HostFiles,
  systemd: Systemd | undefined,
  name: string,
): Promise<LoadedUnit | undefined> {
  const look = async (unit: string): Promise<LoadedUnit | undefined> =>
    systemd === undefined ? readImageUnit(files, unit) : systemd.observe(unit);
  const asked = await look(name);
  const masked = asked?.loadState === 'masked';
  if (name !== 'kubelet.service' || (asked !== undefined && asked.loadState !== 'not-found' && !masked))
    return asked;
  let first: LoadedUnit | undefined;
  for (const other of otherUnits) {
    const unit = await look(other);
    if (unit?.loadState !== 'loaded') continue;
    if (unit.activeState === 'active') return unit;
    first ??= unit;
  }
  // Whoever masks kubelet.service may have put another one in its place, but then it runs.
  return masked ? asked : (first ?? asked);
}
