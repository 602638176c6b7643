import type { ObservedNode } from '../plan/observed.ts';
import type { KubeletLayer, LayerDrift, NodeDrift } from '../plan/drift.ts';
import type { NodePolicy } from '../policy/merge.ts';

/** One thing in which the node is not what it should be. */
export type DriftItem =
  | { readonly kind: 'entryMissing'; readonly entry: string; readonly layer: KubeletLayer }
  | { readonly kind: 'entryExtra'; readonly entry: string; readonly layer: KubeletLayer }
  /** Another layer has the entry, this one has not; the policy does not ask for it. */
  | { readonly kind: 'layersDiffer'; readonly entry: string; readonly layer: KubeletLayer }
  | { readonly kind: 'needsReload' }
  | {
      readonly kind: 'sysctl';
      readonly name: string;
      readonly expected: string;
      readonly found: string | null;
    };

/** The layers worth showing: an image has files alone, and the kubelet is not asked over the network. */
export function shownLayers(drift: NodeDrift, mode: ObservedNode['mode']): readonly LayerDrift[] {
  return drift.layers.filter(({ layer }) => layer !== 'configz' && (mode === 'running' || layer === 'disk'));
}

/** Everything that is known to differ from the policy, or between the layers. */
export function driftItems(drift: NodeDrift, layers: readonly LayerDrift[]): readonly DriftItem[] {
  const known = layers.filter((layer) => layer.kind === 'known');
  const all = [...new Set(known.flatMap(({ entries }) => entries))];
  return [
    ...known.flatMap(({ layer, entries, missing, extra }): readonly DriftItem[] => [
      ...missing.map((entry) => ({ kind: 'entryMissing', entry, layer }) as const),
      ...extra.map((entry) => ({ kind: 'entryExtra', entry, layer }) as const),
      ...all
        .filter((entry) => !entries.includes(entry) && !missing.includes(entry))
        .map((entry) => ({ kind: 'layersDiffer', entry, layer }) as const),
    ]),
    ...(drift.needsReload === true ? [{ kind: 'needsReload' } as const] : []),
    ...drift.sysctls
      .filter(({ state }) => state === 'drifted')
      .map(
        ({ name, expected, found }) => ({ kind: 'sysctl', name, expected, found: found ?? null }) as const,
      ),
  ];
}

/** Why it cannot be said that there is no drift; empty when everything that matters was seen. */
export function blindSpots(
  drift: NodeDrift,
  layers: readonly LayerDrift[],
  policy: NodePolicy | undefined,
): readonly string[] {
  const asksForEntries =
    policy === undefined || policy.allowedUnsafeSysctls.length > 0 || policy.existing === 'Remove';
  return [
    ...layers.flatMap((layer) =>
      asksForEntries && layer.kind === 'unknown' ? [`${layer.layer}: ${layer.reason}`] : [],
    ),
    ...drift.sysctls
      .filter(({ state }) => state === 'unknown')
      .map(({ name, reason }) => `${name}: ${reason ?? 'not read'}`),
  ];
}
