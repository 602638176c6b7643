import type { AuditedSetting, AuditedWorkload, Replacement } from '../admission/audit.ts';
import { unreachable } from '../errors.ts';
import { type Page, paint, visible, wrap } from './text.ts';

/** One block a workload, and what to do with all of them at the end. */
export function renderAudit(workloads: readonly AuditedWorkload[], page: Page): readonly string[] {
  if (workloads.length === 0) return ['No workload sets sysctls in a privileged container.'];
  const ready = workloads.filter(({ replaceable }) => replaceable).length;
  return [
    ...workloads.flatMap((workload) => [...renderWorkload(workload, page), '']),
    ...wrap(
      `${workloads.length} ${workloads.length === 1 ? 'workload sets' : 'workloads set'} sysctls in privileged containers; ` +
        `${ready === 1 ? '1 needs' : `${ready} need`} none: the policy allows the same in securityContext.sysctls.`,
      page.width,
    ),
  ];
}

function renderWorkload(workload: AuditedWorkload, page: Page): readonly string[] {
  const { kind, namespace, name } = workload;
  const opaque = 'some of its commands read a file or a variable, which cannot be seen here';
  return [
    paint(page, 'bold', visible(`${kind} ${namespace}/${name}`)),
    ...workload.settings.flatMap((setting) => renderSetting(setting, page)),
    ...(workload.opaque ? wrap(opaque, page.width, '  ?  ') : []),
  ];
}

function renderSetting(
  { name, value, container, replacement }: AuditedSetting,
  page: Page,
): readonly string[] {
  const good = replacement.kind === 'allowed' || replacement.kind === 'safe';
  const mark = paint(page, good ? 'green' : 'yellow', good ? '+' : '-');
  const setting = value === undefined ? name : `${name}=${value}`;
  return [
    `  ${mark}  ${visible(setting)} (container ${visible(container)})`,
    ...wrap(adviceOn(replacement), page.width, '     '),
  ];
}

function adviceOn(replacement: Replacement): string {
  switch (replacement.kind) {
    case 'allowed':
      return 'allowed by the policy: use securityContext.sysctls instead';
    case 'safe':
      return `safe since kubelet ${replacement.sinceKubelet}: use securityContext.sysctls instead, without any policy`;
    case 'missingEntry':
      return 'would need an entry in spec.kubelet.allowedUnsafeSysctls of a policy';
    case 'nodeLevel':
      return 'is one value for the whole node: state it in spec.sysctls of a policy';
    case 'hostNamespace':
      return 'changes the node itself, because the pod shares its namespace: state it in spec.sysctls of a policy';
    case 'refused':
      return 'no container runtime sets it in a pod';
    default:
      return unreachable(replacement);
  }
}
