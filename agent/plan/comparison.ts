import { unreachable } from '../errors.ts';
import type { Owner } from '../kubelet/owners.ts';
import type { KubeletFacts } from './facts.ts';
import type { ObservedNode } from './observed.ts';
import type { ChosenPlacement } from './placement.ts';
import { propose } from './placement.ts';
import type { PlacementKind, PlacementOption } from './plan.ts';
import type { Wanted } from './proposal.ts';

/** Every placement on this node: possible or not, what it costs, what it survives. */
export function comparePlacements(
  observed: ObservedNode,
  facts: KubeletFacts,
  owners: readonly Owner[],
  chosen: ChosenPlacement,
  wanted: Wanted,
): readonly PlacementOption[] {
  const kinds: readonly PlacementKind[] =
    facts.distribution === undefined
      ? ['Unit', 'DropIn', 'EnvironmentFile', 'KubeletConfig']
      : ['DistributionConfig', 'Unit', 'DropIn'];
  return kinds.map((kind) => {
    const proposal = kind === chosen.kind ? chosen.proposal : propose(observed, facts, kind, wanted);
    const hidden =
      facts.listFrom !== undefined && (kind === 'Unit' || kind === 'DropIn' || kind === 'EnvironmentFile');
    return {
      kind,
      possible: proposal.ok,
      chosen: kind === chosen.kind,
      path: proposal.ok ? proposal.path : undefined,
      why: proposal.ok ? undefined : proposal.problem.message,
      reload: proposal.ok ? proposal.reload : kind === 'Unit' || kind === 'DropIn',
      restart: true,
      survives: survivalOf(kind, proposal.ok ? proposal.path : '', owners),
      // A flag that is there already hid that list before us: its entries are in force no more.
      hides: hidden
        ? `the list of ${facts.listFrom ?? ''}${facts.command.flagEntries === undefined ? ', whose entries are taken over' : ', as the flag in force does already'}`
        : undefined,
    };
  });
}

function survivalOf(kind: PlacementKind, path: string, owners: readonly Owner[]): string {
  const owner = owners.find((candidate) => candidate.kind !== 'noPlace');
  const told =
    owner === undefined
      ? ''
      : owner.kind === 'reconciled'
        ? `; ${owner.name} may take it back at any time`
        : `; ${owner.advice}`;
  switch (kind) {
    case 'Unit':
      return `package upgrades and reboots${told}`;
    case 'DropIn':
      return `package upgrades and reboots; it is made anew when the command below it changes${told}`;
    case 'EnvironmentFile':
      return `reboots, and upgrades where the package leaves ${path === '' ? 'the file' : path} alone${told}`;
    case 'KubeletConfig':
      return path.startsWith('/var/lib/kubelet/') && !path.endsWith('.conf')
        ? `reboots; kubeadm upgrade writes ${path} anew${told}`
        : `reboots, and upgrades that leave the file alone${told}`;
    case 'DistributionConfig':
      return 'upgrades of the distribution and reboots';
    default:
      return unreachable(kind);
  }
}
