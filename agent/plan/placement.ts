import { unreachable } from '../errors.ts';
import type { Owner } from '../kubelet/owners.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { proveProposal } from './prove-proposal.ts';
import type { KubeletFacts } from './facts.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';
import { placeInConfig } from './place-config.ts';
import { placeInDistribution } from './place-distribution.ts';
import { dropInPath, placeInDropIn } from './place-drop-in.ts';
import { placeInEnvironment } from './place-environment.ts';
import { isAdminsFile, placeInUnit } from './place-unit.ts';
import type { PlacementKind } from './plan.ts';
import { impossible, type Proposal, type Proven, type Wanted } from './proposal.ts';

export interface ChosenPlacement {
  readonly kind: PlacementKind;
  readonly proposal: Proven;
  readonly why: string;
}

/** Auto rewrites the unit: in place where it is the admin's, by a drop-in where the vendor's would be overwritten. */
export function choosePlacement(
  observed: ObservedNode,
  facts: KubeletFacts,
  owners: readonly Owner[],
  policy: NodePolicy,
  wanted: Wanted,
): ChosenPlacement {
  if (policy.placement === 'Auto') {
    const { kind, why } = automatic(observed, facts, owners);
    return { kind, proposal: propose(observed, facts, kind, wanted), why };
  }
  return {
    kind: policy.placement,
    proposal: propose(observed, facts, policy.placement, wanted),
    why: 'the policy asks for it',
  };
}

/** What a placement would write on this node, proven by reading it again; or why it cannot. */
export function propose(
  observed: ObservedNode,
  facts: KubeletFacts,
  kind: PlacementKind,
  wanted: Wanted,
): Proven {
  const proposal = unproven(observed, facts, kind, wanted);
  return proposal.ok ? proveProposal(observed, facts, proposal, wanted) : proposal;
}

function unproven(
  observed: ObservedNode,
  facts: KubeletFacts,
  kind: PlacementKind,
  wanted: Wanted,
): Proposal {
  const { command, distribution } = facts;
  if (distribution !== undefined && kind !== 'DistributionConfig') {
    const inUnit = kind === 'Unit' || kind === 'DropIn';
    if (!inUnit)
      return impossible(
        `the kubelet runs inside ${distribution.name}, which takes its arguments elsewhere`,
        'use placement: Auto',
      );
    // microk8s reads its file alone; the arguments of its unit are no kubelet's.
    if (distribution.rancher === undefined)
      return impossible(`${distribution.name} takes no kubelet arguments in its unit`, 'use placement: Auto');
  }
  switch (kind) {
    case 'Unit':
      return placeInUnit(command, wanted);
    case 'DropIn':
      return placeInDropIn(observed, command, wanted);
    case 'EnvironmentFile':
      return placeInEnvironment(observed, command, wanted);
    case 'KubeletConfig':
      return placeInConfig(observed, facts, wanted);
    case 'DistributionConfig':
      return distribution === undefined
        ? impossible('the unit starts the kubelet itself', 'use placement: Auto')
        : placeInDistribution(distribution, wanted);
    default:
      return unreachable(kind);
  }
}

function automatic(
  observed: ObservedNode,
  facts: KubeletFacts,
  owners: readonly Owner[],
): { kind: PlacementKind; why: string } {
  const { command, distribution } = facts;
  if (distribution !== undefined && !distribution.inUnit) {
    return {
      kind: 'DistributionConfig',
      why: `the kubelet runs inside ${distribution.name}, which hands it the arguments of ${distribution.file.path}`,
    };
  }
  const { holder } = command;
  if (holder.path === dropInPath(observed.unit?.id ?? observed.unitName))
    return { kind: 'DropIn', why: 'our drop-in is there already' };
  const reconciler = owners.find((owner) => owner.kind === 'reconciled');
  if (reconciler !== undefined)
    return { kind: 'DropIn', why: `${reconciler.name} puts its own text back into ${holder.path}` };
  if (!isOwnFile(observed, holder))
    return { kind: 'DropIn', why: `${holder.path} is read for other units as well` };
  if (isAdminsFile(holder.realPath))
    return { kind: 'Unit', why: `${holder.path} is the admin's own file and holds the kubelet's command` };
  return {
    kind: 'DropIn',
    why: `${holder.path} belongs to a package, whose upgrade would overwrite an edit`,
  };
}

/** Not a template, nor a drop-in of all units with a prefix or of all services: an edit there would reach others too. */
function isOwnFile({ unit, unitName }: ObservedNode, { path }: ObservedFile): boolean {
  const names = [unitName, unit?.id, ...(unit?.names ?? [])];
  const [file, directory] = path.split('/').reverse();
  return names.some((name) => name === file || `${name ?? ''}.d` === directory);
}
