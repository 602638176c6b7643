import { unreachable } from '../errors.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { KubeletCommand } from './command-line.ts';
import type { ObservedNode } from './observed.ts';
import { dropInPath, placeInDropIn } from './place-drop-in.ts';
import { isAdminsFile, placeInUnit } from './place-unit.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

export interface ChosenPlacement {
  readonly proposal: Proposal;
  readonly why: string;
}

/** Auto rewrites the unit: in place where it is the admin's, by a drop-in where the vendor's would be overwritten. */
export function choosePlacement(observed: ObservedNode, command: KubeletCommand, policy: NodePolicy, wanted: Wanted): ChosenPlacement {
  switch (policy.placement) {
    case 'Auto':
      return automatic(observed, command, wanted);
    case 'Unit':
      return { proposal: placeInUnit(command, wanted), why: 'the policy asks for it' };
    case 'DropIn':
      return { proposal: placeInDropIn(observed, command, wanted), why: 'the policy asks for it' };
    case 'EnvironmentFile':
    case 'KubeletConfig':
      return { proposal: impossible(`placement ${policy.placement} is not built yet`, 'use Auto, Unit or DropIn'), why: '' };
    default:
      return unreachable(policy.placement);
  }
}

function automatic(observed: ObservedNode, command: KubeletCommand, wanted: Wanted): ChosenPlacement {
  const { holder } = command;
  const ours = dropInPath(observed.unit?.id ?? observed.unitName);
  if (holder.path !== ours && isAdminsFile(holder.realPath)) {
    return { proposal: placeInUnit(command, wanted), why: `${holder.path} is the admin's own file and holds the kubelet's command` };
  }
  const why = holder.path === ours ? 'our drop-in is there already' : `${holder.path} belongs to a package, whose upgrade would overwrite an edit`;
  return { proposal: placeInDropIn(observed, command, wanted), why };
}
