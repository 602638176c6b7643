import type { NodeFacts } from '../../../agent/cluster/node-status.ts';
import type { LayerDrift, NodeDrift } from '../../../agent/plan/drift.ts';

/** Drift in which all layers hold the same entries. */
export function driftWith(
  over: Partial<Pick<LayerDrift, 'missing' | 'extra'>> & { entries: readonly string[] },
): NodeDrift {
  const layer = (name: LayerDrift['layer']): LayerDrift => ({
    layer: name,
    kind: 'known',
    holder: undefined,
    missing: [],
    extra: [],
    ...over,
  });
  return {
    layers: [
      layer('disk'),
      layer('loaded'),
      layer('process'),
      { layer: 'configz', kind: 'unknown', reason: 'not asked', missing: [], extra: [] },
    ],
    needsReload: false,
    sysctls: [],
  };
}

/** What an agent reports of a converged node, unless told otherwise. */
export function factsOf(over: Partial<NodeFacts> & { policies: readonly string[] }): NodeFacts {
  return {
    observedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
    state: 'converged',
    policyHash: 'f'.repeat(64),
    kubeletVersion: 'v1.36.2',
    conditions: [
      { type: 'Observed', status: 'True', reason: 'Seen', message: '' },
      { type: 'Converged', status: 'True', reason: 'converged', message: '' },
      { type: 'KubeletHealthy', status: 'True', reason: 'ok', message: '' },
    ],
    drift: driftWith({ entries: ['net.core.somaxconn'] }),
    driftSince: {},
    lastTransaction: undefined,
    latch: undefined,
    ...over,
  };
}
