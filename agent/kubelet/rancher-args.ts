import { isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import { type FlagReading, readAllowlistFlag } from './flag.ts';
import type { ConfigText } from './config.ts';
import { editYamlList, type ListEditing } from './yaml-list.ts';

/** One `kubelet-arg` of k3s or rke2, and where it stands. */
export interface RancherArgument {
  /** As written: `max-pods=110`, with or without leading dashes. */
  readonly text: string;
  readonly path: string;
  /** `kubelet-arg` or `kubelet-arg+`. */
  readonly key: string;
  /** Index in that list. */
  readonly index: number;
}

export type RancherReading =
  | {
      readonly ok: true;
      /** What the files give together. */
      readonly args: readonly RancherArgument[];
      /** The last list that counts; undefined where no file has one. */
      readonly last: { readonly path: string; readonly key: string; readonly length: number } | undefined;
    }
  | { readonly ok: false; readonly path: string; readonly reason: string };

/**
 * The kubelet arguments of config.yaml and config.yaml.d as k3s reads them (pkg/configfilearg/parser.go): files in
 * order, the last `kubelet-arg` wins whole, a key that ends in `+` adds to what was there, a single text is a list of one.
 */
export function readRancherArgs(files: readonly ConfigText[]): RancherReading {
  let args: RancherArgument[] = [];
  let last: { path: string; key: string; length: number } | undefined;
  for (const { path, text } of files) {
    const [document] = parseAllDocuments(text, { version: '1.1', merge: true });
    if (document === undefined) continue;
    const [error] = document.errors;
    if (error !== undefined) return { ok: false, path, reason: error.message.replace(/ at line[^]*$/, '') };
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null))
      continue;
    if (!isMap(document.contents)) return { ok: false, path, reason: 'it is no mapping' };
    for (const { key, value } of document.contents.items) {
      const name: unknown = isScalar(key) ? key.value : undefined;
      if (name !== 'kubelet-arg' && name !== 'kubelet-arg+') continue;
      const texts = textsOf(
        isSeq(value)
          ? value.items
          : value === null || (isScalar(value) && value.value === null)
            ? []
            : [value],
      );
      if (texts === undefined) return { ok: false, path, reason: `${name} is no list of texts` };
      const found = texts.map((argument, index) => ({ text: argument, path, key: name, index }));
      args = name.endsWith('+') ? [...args, ...found] : found;
      last = { path, key: name, length: texts.length };
    }
  }
  return { ok: true, args, last };
}

/**
 * What the kubelet inside gets of the allowlist: k3s drops its own default where an argument names the flag, and keeps
 * it where the first one is spelled `name+=` or `name-=` (GetArgs in pkg/daemons/config/types.go).
 */
export function rancherAllowlist(args: readonly string[], byDefault: readonly string[]): FlagReading {
  const words = args.map((argument) => `--${argument.replace(/^--/, '')}`);
  const suffixed = /^(--[^=]*allowed-unsafe-sysctls)[-+]+(=|$)/;
  const reading = readAllowlistFlag(
    words.map((word) => word.replace(suffixed, '$1$2')).filter((word) => isAllowlistWord(word)),
  );
  if (!reading.ok || reading.occurrences.length === 0) {
    return reading.ok && byDefault.length > 0 ? { ...reading, entries: byDefault } : reading;
  }
  const first = words.find((word) => isAllowlistWord(word.replace(suffixed, '$1$2')));
  const keeps = first !== undefined && suffixed.test(first);
  return { ...reading, entries: [...(keeps ? byDefault : []), ...(reading.entries ?? [])] };
}

/** k3s allows these two for its ServiceLB pods unless an argument names the flag (agent_linux.go; k3s issue 8487). */
export const k3sDefaults: readonly string[] = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'];

/** Whether an argument of k3s, as written, is the allowlist flag. */
export function isAllowlistArgument(text: string): boolean {
  return isAllowlistWord(`--${text.replace(/^--/, '')}`.replace(/^([^=]*?)[-+]+(=|$)/, '$1$2'));
}

/** One argument of one file made another, or a new one added to its list. */
export function editRancherList(
  file: ConfigText,
  key: string,
  present: readonly RancherArgument[],
  change: { readonly replace: ReadonlyMap<number, string | undefined>; readonly append: readonly string[] },
): ListEditing {
  return editYamlList(file.text, key, {
    items: present.map(({ text, index }) => (change.replace.has(index) ? change.replace.get(index) : text)),
    append: change.append,
  });
}

function isAllowlistWord(word: string): boolean {
  return /^--(experimental[-_])?allowed[-_]unsafe[-_]sysctls(=|$)/.test(word);
}

function textsOf(nodes: readonly unknown[]): readonly string[] | undefined {
  const texts = nodes.map((node) =>
    isScalar(node) && typeof node.value === 'string' ? node.value : undefined,
  );
  const all = texts.filter((text) => text !== undefined);
  return all.length === texts.length ? all : undefined;
}
