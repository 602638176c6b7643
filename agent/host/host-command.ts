import path from 'node:path';
import { fileId } from './file-id.ts';

/**
 * A command of the node whose root is mounted at `root`, as it is run from here: by nsenter where that is not our own
 * root. Undefined where `root` is not the one of the host's PID 1: an image's programs are not ours to run.
 */
export function hostCommand(
  root: string,
  command: readonly string[],
  procDir = '/proc',
): readonly string[] | undefined {
  if (path.resolve(root) === '/') return command;
  // Compared, because `--root` may also be an image on some machine whose PID 1 has nothing to do with it.
  const wanted = fileId(`${root}/.`);
  if (wanted === undefined || wanted !== fileId(`${path.join(procDir, '1', 'root')}/.`)) return undefined;
  return ['nsenter', `--mount=${path.join(procDir, '1', 'ns', 'mnt')}`, '--', ...command];
}
