import type { NodeDrift } from '../plan/drift.ts';
import { driftedNames } from '../plan/drift-names.ts';
import type { MetricRegistry, Series } from '../metrics/registry.ts';
import { single } from '../metrics/registry.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { loopStates } from '../transaction/loop-position.ts';
import type { LoopPublisher } from './loop-ports.ts';

export interface LoopMetricsOptions {
  readonly registry: MetricRegistry;
  readonly version: string;
  /** The policy's sysctls are another set from now on. */
  readonly policy: (policy: NodePolicy) => void;
}

/** Turns what the loop finds into series. Milliseconds become seconds here. */
export function loopMetrics({ registry, version, policy }: LoopMetricsOptions): LoopPublisher {
  let wanted: readonly string[] = [];
  registry.set('buildInfo', [{ labels: { version }, value: 1 }]);
  registry.set('slotHeld', single(0));
  registry.set('slotWait', single(0));
  // Counters begin at 0, so that the first increase is one.
  for (const result of ['committed', 'refused', 'rolledBack', 'broken'])
    registry.count('applies', { result }, 0);
  for (const reason of ['apply', 'rollback', 'other']) registry.count('restarts', { reason }, 0);
  registry.count('rollbacks', { code: 'WATCHDOG_FIRED', by: 'watchdog' }, 0);

  return {
    policy(next) {
      wanted = next.allowedUnsafeSysctls;
      policy(next);
    },
    policyValid: (valid) => {
      registry.set('policyValid', single(valid ? 1 : 0));
    },
    state: (state) => {
      registry.set(
        'state',
        loopStates.map((name) => ({ labels: { state: name }, value: name === state ? 1 : 0 })),
      );
    },
    seen: (atMs) => {
      registry.set('lastObservation', single(atMs / 1000));
    },
    drift(drift, since, via) {
      registry.set(
        'nodeSysctlsVia',
        ['direct', 'nsenter', 'none'].map((name) => ({ labels: { via: name }, value: name === via ? 1 : 0 })),
      );
      registry.set('allowlistDrift', layerCounts(drift));
      registry.set('allowlistEntry', entrySeries(drift, wanted));
      registry.set('needsReload', drift.needsReload === undefined ? [] : single(drift.needsReload ? 1 : 0));
      registry.set(
        'driftStart',
        driftedNames(drift).map(({ kind, name }) => ({
          labels: { kind, name },
          value: (since[`${kind}/${name}`] ?? 0) / 1000,
        })),
      );
    },
    refusals: (codes) => {
      registry.set(
        'refusal',
        [...new Set(codes)].map((code) => ({ labels: { code }, value: 1 })),
      );
    },
    lookFailed: (code) => {
      registry.count('errors', { code });
    },
    applied(result, tookMs) {
      registry.count('applies', { result });
      if (result !== 'refused') registry.observeApply(tookMs / 1000);
    },
    rolledBack: (code, by) => {
      registry.count('rollbacks', { code, by });
    },
    kubeletRestarted: (reason) => {
      registry.count('restarts', { reason });
    },
    lastTransaction(last) {
      const ended = last?.verdict === 'running' ? undefined : last;
      const labels = { verdict: ended?.verdict ?? '', by: ended?.by ?? '' };
      registry.set(
        'lastTransactionEnd',
        ended === undefined ? [] : [{ labels, value: ended.endedAtMs / 1000 }],
      );
    },
    atRisk: (sinceMs) => {
      registry.set('atRiskSince', sinceMs === undefined ? [] : single(sinceMs / 1000));
    },
    slot(held, waitMs) {
      registry.set('slotHeld', single(held ? 1 : 0));
      registry.set('slotWait', single(waitMs / 1000));
    },
    watches(files, systemd) {
      registry.set('watchUp', [
        { labels: { watch: 'files' }, value: files ? 1 : 0 },
        { labels: { watch: 'systemd' }, value: systemd ? 1 : 0 },
      ]);
    },
    pods({ forbidden, drift }) {
      registry.set(
        'forbiddenPods',
        (forbidden ?? []).map(({ namespace, sysctl, pods }) => ({
          labels: { namespace, sysctl },
          value: pods,
        })),
      );
      registry.set(
        'podSysctlDrift',
        drift.map(({ namespace, pod, sysctl, drifted }) => ({
          labels: { namespace, pod, sysctl },
          value: drifted ? 1 : 0,
        })),
      );
    },
  };
}

function layerCounts(drift: NodeDrift): readonly Series[] {
  return drift.layers
    .filter(({ kind }) => kind === 'known')
    .map(({ layer, missing, extra }) => ({ labels: { layer }, value: missing.length + extra.length }));
}

function entrySeries(drift: NodeDrift, wanted: readonly string[]): readonly Series[] {
  return drift.layers
    .filter(({ kind }) => kind === 'known')
    .flatMap(({ layer, missing }) => {
      const gone = new Set(missing);
      return wanted.map((entry) => ({ labels: { entry, layer }, value: gone.has(entry) ? 0 : 1 }));
    });
}
