import type { HostFiles } from '../host/files.ts';
import { dynamicConfigMark } from '../kubelet/layouts.ts';
import { ownerMarks } from '../kubelet/owners.ts';

const longestMark = 4096;

/** What the node says of who owns its kubelet, and the first bytes of the unit's program where that is a script. */
export async function readMarks(
  files: HostFiles,
  program: string | undefined,
  args: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  const marks: Record<string, string> = {};
  for (const { path, content } of ownerMarks) {
    if (!(await files.exists(path))) continue;
    // Of files that may hold credentials only the presence is looked at.
    marks[path] = content ? ((await textOf(files, path)) ?? '') : '';
  }
  const dynamic = dynamicConfigMark(args);
  const assigned = dynamic === undefined ? undefined : await textOf(files, dynamic);
  if (dynamic !== undefined && assigned !== undefined) marks[dynamic] = assigned;
  if (program?.startsWith('/') === true) {
    const text = await textOf(files, program);
    if (text !== undefined) marks[program] = text;
  }
  return marks;
}

/** Undefined for what is no text: a program is too large or no UTF-8. */
async function textOf(files: HostFiles, path: string): Promise<string | undefined> {
  try {
    return (await files.read(path))?.text.slice(0, longestMark);
  } catch {
    return undefined;
  }
}
