import { isCovered } from '../kubelet/allowlist.ts';
import { knownSafeSysctls } from '../kubelet/safe-sysctls.ts';
import { namespaceOf, runcAllows } from '../sysctl/namespaced.ts';
import { type PodTemplate, podTemplatesOf } from './pod-templates.ts';
import { sysctlCommands } from './sysctl-commands.ts';

/**
 * What a privileged container's setting could become. `allowed`: securityContext.sysctls, today. `safe`: the same on
 * kubelets of this version and newer. `missingEntry`: once a policy has the entry. `nodeLevel`: a value for all of the
 * node, for `spec.sysctls` of a policy. `hostNamespace`: it changes the node itself, because the pod shares that
 * namespace. `refused`: no runtime sets it in a pod.
 */
export type Replacement =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'safe'; readonly sinceKubelet: string }
  | { readonly kind: 'missingEntry' | 'nodeLevel' | 'hostNamespace' | 'refused' };

export interface AuditedSetting {
  readonly name: string;
  readonly value: string | undefined;
  readonly container: string;
  readonly replacement: Replacement;
}

/** A workload that sets sysctls in privileged containers. */
export interface AuditedWorkload {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly settings: readonly AuditedSetting[];
  /** Some of its commands set what only a file or a variable tells. */
  readonly opaque: boolean;
  /** Nothing but these settings needs those containers: every one could be `securityContext.sysctls`. */
  readonly replaceable: boolean;
}

/**
 * Finds the workloads that set sysctls in privileged containers, in objects as `kubectl get … -o json` prints them.
 * Pods of one ReplicaSet, DaemonSet or the like count once; what is no workload is passed over.
 */
export function auditPrivileged(
  objects: readonly unknown[],
  entries: readonly string[],
): readonly AuditedWorkload[] {
  const byOwner = new Map<string, AuditedWorkload>();
  for (const template of objects.flatMap(podTemplatesOf)) {
    const audited = auditTemplate(template, entries);
    const key = `${template.namespace}/${template.kind}/${template.name}`;
    if (audited !== undefined && !byOwner.has(key)) byOwner.set(key, audited);
  }
  return [...byOwner.values()];
}

function auditTemplate(template: PodTemplate, entries: readonly string[]): AuditedWorkload | undefined {
  const found = template.containers
    .filter(({ privileged }) => privileged)
    .map((container) => ({ container, ...sysctlCommands(container.argv) }));
  const settings = found.flatMap(({ container, settings }) =>
    settings.map(({ name, value }) => ({
      name,
      value,
      container: container.name,
      replacement: replacementOf(name, template, entries),
    })),
  );
  const opaque = found.some((each) => each.opaque);
  if (settings.length === 0 && !opaque) return undefined;
  const { kind, namespace, name } = template;
  const replaceable =
    !opaque && settings.every(({ replacement }) => ['allowed', 'safe'].includes(replacement.kind));
  return { kind, namespace, name, settings, opaque, replaceable };
}

function replacementOf(name: string, template: PodTemplate, entries: readonly string[]): Replacement {
  const namespace = namespaceOf(name);
  if ((namespace === 'net' && template.hostNetwork) || (namespace === 'ipc' && template.hostIpc))
    return { kind: 'hostNamespace' };
  if (namespace !== 'net' && namespace !== 'ipc') return { kind: 'nodeLevel' };
  if (!runcAllows(name)) return { kind: 'refused' };
  if (isCovered(entries, name)) return { kind: 'allowed' };
  const safe = knownSafeSysctls.find((known) => known.name === name);
  return safe === undefined
    ? { kind: 'missingEntry' }
    : { kind: 'safe', sinceKubelet: `1.${safe.sinceMinor}` };
}
