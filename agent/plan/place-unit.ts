import type { KubeletCommand } from './command-line.ts';
import { editFlag } from './flag-edit.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

/** Edits the file that holds the effective ExecStart, in place and losslessly. Only for files of the admin. */
export function placeInUnit(command: KubeletCommand, wanted: Wanted): Proposal {
  const { holder } = command;
  if (!isAdminsFile(holder.realPath)) {
    return impossible(
      `${holder.path} belongs to a package: its next upgrade would overwrite an edit`,
      'use placement: DropIn',
    );
  }
  const edit = editFlag(holder.text, holder.path, command, wanted);
  if (!edit.ok) return edit;
  return {
    ok: true,
    kind: 'Unit',
    path: holder.realPath,
    files: [{ path: holder.realPath, before: holder, after: edit.text }],
    reload: true,
    commandAfter: edit.commandAfter,
    dropIns: [],
  };
}

/** /etc is the admin's; everything else is rewritten by packages, at boot, or by whoever linked it there. */
export function isAdminsFile(realPath: string): boolean {
  return realPath.startsWith('/etc/');
}
