import type { Problem } from '../errors.ts';
import { normaliseEntry } from './allowlist.ts';
import { type ConfigText, readKubeletConfig } from './config.ts';
import { editYamlList } from './yaml-list.ts';

export type ConfigEdit =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly problem: Problem };

/** A kubelet configuration of our own for `--config-dir`: since 1.30 a drop-in without apiVersion and kind is fatal. */
export function renderConfigDropIn(entries: readonly string[]): string {
  const list = entries.length === 0 ? ' []\n' : `\n${entries.map((entry) => `- ${entry}\n`).join('')}`;
  return `# Written by kubelet-sysctl-agent. The kubelet replaces lists whole: this one holds every entry of the others too.
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
allowedUnsafeSysctls:${list}`;
}

/**
 * Makes `entries` the allowedUnsafeSysctls of one configuration file (YAML or JSON); entries that stand there stay
 * where and as they are. Refuses with KUBELET_CONFIG_UNREADABLE what cannot be read, with PLACEMENT_IMPOSSIBLE what
 * cannot be edited without touching anything else.
 */
export function setAllowedUnsafeSysctls(file: ConfigText, entries: readonly string[]): ConfigEdit {
  const own = readKubeletConfig(file, []);
  if (!own.ok) return own;
  const present = own.facts.allowedUnsafeSysctls ?? [];
  const have = new Set(present.map(normaliseEntry));
  const wanted = new Set(entries);
  const edit = editYamlList(file.text, 'allowedUnsafeSysctls', {
    items: present.map((item) => (wanted.has(normaliseEntry(item)) ? item : undefined)),
    append: entries.filter((entry) => !have.has(entry)),
  });
  if (edit.ok) return edit;
  return {
    ok: false,
    problem: {
      code: 'PLACEMENT_IMPOSSIBLE',
      message: `${file.path} cannot be edited: ${edit.reason}`,
      where: { file: file.path },
      next: 'write allowedUnsafeSysctls as a plain list, or choose another placement',
    },
  };
}
