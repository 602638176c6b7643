import { transactionJson } from './json-transaction.ts';
import type { StatusView } from './render-status.ts';

/** The part of `status` behind the head. */
export function statusJson(view: StatusView): Readonly<Record<string, unknown>> {
  const { observed, state } = view;
  const { unit } = observed;
  return {
    observed: {
      mode: observed.mode,
      root: observed.root,
      unit: unit?.id ?? observed.unitName,
      kubeletVersion: observed.kubeletVersion ?? null,
      kernelRelease: observed.kernelRelease ?? null,
      systemdVersion: observed.systemdVersion ?? null,
      health: observed.health,
      sysctlsVia: observed.sysctlsVia,
      podsKnown: observed.pods.kind === 'known',
    },
    unit:
      unit === undefined
        ? null
        : {
            loadState: unit.loadState,
            activeState: unit.activeState,
            subState: unit.subState,
            fragmentPath: unit.fragmentPath,
            dropInPaths: unit.dropInPaths,
            needDaemonReload: unit.needDaemonReload,
            mainPid: unit.mainPid,
            restarts: unit.nRestarts,
            startedAt: unit.mainStartedAtMs === 0 ? null : new Date(unit.mainStartedAtMs).toISOString(),
          },
    policies: view.policies ?? null,
    layers: view.layers.map((layer) => ({
      layer: layer.layer,
      entries: layer.kind === 'known' ? layer.entries : null,
      holder: layer.kind === 'known' ? (layer.holder ?? null) : null,
      reason: layer.kind === 'unknown' ? layer.reason : null,
    })),
    drift: view.items,
    unknown: view.blind,
    sysctls: view.sysctls.map(
      ({ name, expected, found, state: verdict, remediation, reason, source, setBy }) => ({
        name,
        expected,
        found: found ?? null,
        state: verdict,
        remediation,
        reason: reason ?? null,
        source: source ?? null,
        setBy,
      }),
    ),
    openTransaction: state.open === undefined ? null : { ...transactionJson(state.open), token: state.token },
    transactions: state.history.map(transactionJson),
    watchdogArmed: view.watchdogArmed ?? null,
    latch:
      state.latch === undefined
        ? null
        : { ...state.latch, sinceMs: undefined, since: new Date(state.latch.sinceMs).toISOString() },
  };
}
