import type { Problem } from '../errors.ts';
import type { ObservedNode } from './observed.ts';
import type { FileChange } from './plan.ts';
import type { ProposedFile } from './proposal.ts';
import { sysctlFilePath } from './sysctl-plan.ts';

/** Files that nobody could write. */
export function readOnlyProblems(observed: ObservedNode, files: readonly ProposedFile[]): readonly Problem[] {
  return files
    .filter((file) => !(file.before?.writable ?? (observed.etcWritable || !file.path.startsWith('/etc/'))))
    .map((file) => ({
      code: 'NODE_READ_ONLY',
      message: `${file.path} lies on a read-only file system`,
      next: "use the distribution's own way to change the kubelet's flags",
    }));
}

/** Our sysctl.d file is there and cannot be read: whatever it holds would be lost. */
export function unreadableSysctlFile(
  observed: ObservedNode,
  files: readonly ProposedFile[],
): readonly Problem[] {
  const unreadable = observed.unreadable.find(({ path }) => path === sysctlFilePath);
  if (files.length === 0 || unreadable === undefined) return [];
  return [
    {
      code: 'UNIT_UNREADABLE',
      message: `${sysctlFilePath} cannot be read: ${unreadable.reason}`,
      where: { file: sysctlFilePath },
      next: 'put that file right, then try again',
    },
  ];
}

/** Whether a proposed file differs from what is there. */
export function changes({ before, after }: ProposedFile): boolean {
  return (before?.text ?? null) !== after;
}

/** Only what it takes to put the file back: the rest of the observation would go stale in the journal. */
export function fileChange(file: ProposedFile): FileChange {
  const { before } = file;
  return {
    path: file.path,
    before:
      before === null
        ? null
        : { sha256: before.sha256, mode: before.mode, uid: before.uid, gid: before.gid, text: before.text },
    after: file.after,
  };
}
