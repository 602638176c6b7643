import { type Problem, unreachable } from '../errors.ts';
import { type Owner, ownersOf } from '../kubelet/owners.ts';
import { readUnit } from '../unit-file/effective.ts';
import type { ObservedNode } from './observed.ts';
import type { ProposedFile } from './proposal.ts';

/** Who else says that this kubelet is theirs; `targets` are the files that would be changed. */
export function findOwners(
  observed: ObservedNode,
  entries: readonly string[],
  targets: readonly ProposedFile[] = [],
): readonly Owner[] {
  const holder = readUnit(observed.unitFiles).commands('ExecStart').at(-1)?.origin.path;
  const files = [
    ...observed.unitFiles.filter(({ path }) => path === holder),
    ...targets.flatMap(({ before }) => (before === null || before.path === holder ? [] : [before])),
  ];
  return ownersOf({
    marks: observed.marks,
    unitFiles: observed.unitFiles,
    files,
    environmentFiles: observed.unit?.environmentFiles.map(({ path }) => path) ?? [],
    entries,
  });
}

/** The refusals of owners that allow no change, or would take it back. */
export function ownerProblems(owners: readonly Owner[]): readonly Problem[] {
  return owners.flatMap(({ name, kind, evidence, advice }): Problem[] => {
    switch (kind) {
      case 'reconciled':
        return [
          {
            code: 'UNIT_OWNED',
            message: `this node's kubelet belongs to ${name} (${evidence}), which puts its own configuration back`,
            next: advice,
          },
        ];
      case 'noPlace':
        return [
          {
            code: 'NODE_READ_ONLY',
            message: `this node runs ${name} (${evidence}), where the kubelet is configured through the system's own settings alone`,
            next: advice,
          },
        ];
      case 'writtenOnce':
        return [];
      default:
        return unreachable(kind);
    }
  });
}

/** What a reader should know of owners that write once: comments are warnings, platforms a hint. */
export function ownerNotes(owners: readonly Owner[]): {
  warnings: readonly Problem[];
  hints: readonly string[];
} {
  const once = owners.filter(({ kind }) => kind === 'writtenOnce');
  return {
    warnings: once
      .filter(({ byComment }) => byComment)
      .map(({ name, evidence, advice }) => ({
        code: 'UNIT_OWNED',
        message: `${name} wrote this node's kubelet (${evidence}): ${advice}`,
      })),
    hints: once
      .filter(({ byComment }) => !byComment)
      .map(({ name, evidence, advice }) => `this node was set up by ${name} (${evidence}): ${advice}`),
  };
}
