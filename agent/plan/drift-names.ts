import type { NodeDrift } from './drift.ts';

/** Whether anything is known to differ. Unknown layers and readings are no drift here: they have their own metrics. */
export function isDrifted(drift: NodeDrift): boolean {
  return driftedNames(drift).length > 0;
}

/** What a drift is called in metrics and in the state directory. */
export interface DriftName {
  readonly kind: 'sysctl' | 'allowlist' | 'reload';
  /** The sysctl, the layer, or `kubelet`. */
  readonly name: string;
}

/** Everything that differs now, each once, in a stable order. */
export function driftedNames(drift: NodeDrift): readonly DriftName[] {
  return [
    ...drift.layers
      .filter(({ missing, extra }) => missing.length + extra.length > 0)
      .map(({ layer }) => ({ kind: 'allowlist', name: layer }) as const),
    ...(drift.needsReload === true ? [{ kind: 'reload', name: 'kubelet' } as const] : []),
    ...drift.sysctls
      .filter(({ state }) => state === 'drifted')
      .map(({ name }) => ({ kind: 'sysctl', name }) as const),
  ];
}
