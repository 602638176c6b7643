import type { Problem } from '../errors.ts';
import { hasGpus, type Owner } from '../kubelet/owners.ts';
import { comparePlacements } from './comparison.ts';
import type { KubeletFacts } from './facts.ts';
import type { ObservedNode } from './observed.ts';
import { ownerNotes } from './ownership.ts';
import type { ChosenPlacement } from './placement.ts';
import type { Notes } from './plan.ts';
import type { Wanted } from './proposal.ts';

/** Adds what there is to know of the placements of this node, its owners and its GPUs. */
export function withPlacement(
  observed: ObservedNode,
  facts: KubeletFacts,
  told: Notes,
  owners: readonly Owner[],
  chosen: ChosenPlacement,
  wanted: Wanted,
): Notes {
  const comparison = comparePlacements(observed, facts, owners, chosen, wanted);
  const gentle = comparison.filter(({ possible, reload }) => possible && !reload).map(({ kind }) => kind);
  const { proposal } = chosen;
  const gpu: readonly Problem[] =
    proposal.ok && proposal.reload && hasGpus(observed.marks)
      ? [
          {
            code: 'GPU_AT_RISK',
            message:
              'this node has NVIDIA GPUs, and a daemon-reload can take them away from running containers (Failed to initialize NVML)',
            next:
              gentle.length === 0
                ? 'drain the pods that use GPUs first'
                : `use placement: ${gentle.join(' or ')}, which needs no reload`,
          },
        ]
      : [];
  const ownersSay = ownerNotes(owners);
  const unseen =
    proposal.ok && (proposal.kind === 'KubeletConfig' || proposal.kind === 'DistributionConfig')
      ? [
          "the kubelet's command line does not show a list from a file: after the restart its health alone is looked at",
        ]
      : [];
  return {
    ...told,
    warnings: [...told.warnings, ...ownersSay.warnings, ...gpu],
    hints: [...told.hints, ...ownersSay.hints, ...unseen],
    comparison,
  };
}

/** Without a version the planner has to be more careful than the kubelet. */
export function versionWarning(observed: ObservedNode): readonly Problem[] {
  if (observed.kubeletVersion !== undefined) return [];
  return [
    {
      code: 'KUBELET_NOT_FOUND',
      message: "the kubelet's version is unknown, so entries must satisfy every version's rules",
    },
  ];
}

/** Node sysctls that could not be looked at. */
export function sysctlWarnings(observed: ObservedNode, findings: Notes['sysctls']): readonly Problem[] {
  if (observed.mode === 'image' || findings.length === 0 || observed.sysctlsVia !== 'none') return [];
  return [
    {
      code: 'SYSCTL_NAME_INVALID',
      message:
        "node sysctls are unknown: the agent is not in the host's network and IPC namespaces and cannot enter them",
      next: 'run it with hostNetwork and hostIPC, or with hostPID and nsenter',
    },
  ];
}
