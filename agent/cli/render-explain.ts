import { unreachable } from '../errors.ts';
import type { FreshValue, SysctlExplanation } from '../kubelet/explain.ts';
import type { SysctlNamespace } from '../sysctl/namespaced.ts';
import type { Explained, ExplainView } from './explain.ts';
import type { FreshReading } from './fresh-pod.ts';
import { sections } from './render-plan.ts';
import { type Page, paint, visible, wrap } from './text.ts';

/** One paragraph for each sysctl: facts on the left, words on the right. */
export function renderExplanations(view: ExplainView, page: Page): readonly string[] {
  const about =
    view.noNode === undefined ? [] : wrap(`nothing is said of a node: ${view.noNode}`, page.width, 'note  ');
  return sections([...view.sysctls.map((sysctl) => paragraph(sysctl, view, page)), about]);
}

function paragraph(sysctl: Explained, view: ExplainView, page: Page): readonly string[] {
  const { explanation, now, fresh, allowedBy } = sysctl;
  const row = (name: string, text: string): readonly string[] =>
    wrap(text, page.width, `  ${name.padEnd(12)}`);
  return [
    paint(page, 'bold', visible(explanation.name)),
    ...row('namespace', namespaces[explanation.namespace]),
    ...row('kubelet', kubeletText(explanation, view.kubeletVersion)),
    ...row('safe since', safeText(explanation)),
    ...row(
      'runtime',
      explanation.runcAllows
        ? 'runc sets it in a pod with its own namespaces'
        : 'runc refuses it: the container would not be created',
    ),
    ...(allowedBy === undefined || explanation.kubelet !== 'needsEntry'
      ? []
      : row(
          'allowed now',
          allowedBy.length === 0
            ? 'no: the running kubelet has no entry for it'
            : `yes, by ${allowedBy.join(', ')}`,
        )),
    ...(now === undefined
      ? []
      : row('node now', now.kind === 'value' ? shown(now.value) : `unknown: ${now.reason}`)),
    ...row('fresh pod', freshText(fresh, explanation.freshValue)),
  ];
}

const namespaces: Readonly<Record<SysctlNamespace, string>> = {
  net: 'network: each pod has its own (not with hostNetwork)',
  ipc: 'IPC: each pod has its own (not with hostIPC)',
  uts: 'UTS: each pod has its own',
  pid: 'PID: each pod has its own, on kernels that keep it there',
  user: 'user: one for each user namespace',
  none: 'none: one value for the whole node',
};

function kubeletText(
  { kubelet, entry, namespace, name }: SysctlExplanation,
  version: string | undefined,
): string {
  const who = version === undefined ? '' : ` (kubelet ${version})`;
  switch (kubelet) {
    case 'safe':
      return `safe: pods may set it without an entry${who}`;
    case 'needsEntry':
      // The kubelet goes by the name; the kernel may still have only one value.
      return `unsafe: needs the entry ${entry ?? name}${who}${namespace === 'none' ? '; yet the kernel has one value for the whole node' : ''}`;
    case 'never':
      return `no entry lets pods set it${who}: set it on the node, under sysctls`;
    default:
      return unreachable(kubelet);
  }
}

function safeText({ safeSince }: SysctlExplanation): string {
  if (safeSince === undefined) return 'no version';
  return `kubelet ${safeSince.kubelet}${safeSince.kernel === undefined ? '' : `, with kernel ${safeSince.kernel} or later`}`;
}

function freshText(fresh: FreshReading, expected: FreshValue): string {
  switch (fresh.kind) {
    case 'value':
      return fresh.writable === false
        ? `${shown(fresh.value)}: the node's own value, which cannot be set there`
        : `${shown(fresh.value)}: ${origins[expected]}`;
    case 'absent':
      return 'does not see it at all';
    case 'unknown':
      return `${origins[expected]} (not looked at: ${fresh.reason})`;
    default:
      return unreachable(fresh);
  }
}

const origins: Readonly<Record<FreshValue, string>> = {
  kernelDefault: "the kernel's default, whatever the node has",
  copiedFromNode: "copied from the node's when the pod starts",
  nodeValue: "the node's own value",
  nodeValueReadOnly: "the node's own value, to look at",
  absent: 'it does not exist in a pod',
};

function shown(value: string): string {
  return value === '' ? 'empty' : value.replaceAll('\t', ' ');
}
