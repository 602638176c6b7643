import { parseAllDocuments } from 'yaml';
import type { Problem } from '../errors.ts';
import type { KubeletVersion } from './version.ts';

/** A file with its text; the path is for ordering drop-ins and for messages. */
export interface ConfigText {
  readonly path: string;
  readonly text: string;
}

/** What the agent needs to know from a kubelet's configuration, with the kubelet's defaults filled in. */
export interface KubeletConfigFacts {
  /** Undefined where no file gives the list. */
  readonly allowedUnsafeSysctls: readonly string[] | undefined;
  /** Default 10248; 0 switches /healthz off. */
  readonly healthzPort: number;
  readonly healthzBindAddress: string;
  readonly protectKernelDefaults: boolean;
  /** Default true: the kubelet refuses to start while swap is on. */
  readonly failSwapOn: boolean;
  readonly staticPodPath: string | undefined;
  readonly containerRuntimeEndpoint: string | undefined;
}

/** The configuration that the files give together; `listFrom` is the file that the allowlist comes from. */
export type KubeletConfigReading =
  | { readonly ok: true; readonly facts: KubeletConfigFacts; readonly listFrom: string | undefined }
  | { readonly ok: false; readonly problem: Problem };

/**
 * Reads `--config` and the drop-ins of `--config-dir` as the kubelet merges them: `*.conf` in the order of a directory
 * walk, each a JSON merge patch, so that a list is replaced whole and null takes a setting back to its default. In
 * 1.28 an empty value in a drop-in changes nothing (mergo). Flags beat all of it, which is the caller's part. Refuses
 * with KUBELET_CONFIG_UNREADABLE rather than guess: a missed list is a list that gets dropped.
 */
export function readKubeletConfig(
  main: ConfigText | undefined,
  dropIns: readonly ConfigText[],
  version?: KubeletVersion,
): KubeletConfigReading {
  const emptyIsIgnored = version?.major === 1 && version.minor === 28;
  const merged = new Map<string, Setting>();
  const files = [
    ...(main === undefined ? [] : [{ ...main, role: 'main' as const }]),
    ...inWalkOrder(dropIns).map((dropIn) => ({ ...dropIn, role: 'dropIn' as const })),
  ];
  for (const file of files) {
    const document = readDocument(file, file.role);
    if (!document.ok) return document;
    for (const [key, value] of document.settings) {
      if (value === null) merged.delete(key);
      else if (file.role === 'main' || !emptyIsIgnored || !isEmpty(value))
        merged.set(key, { value, path: file.path });
    }
  }
  return factsOf(merged);
}

interface Setting {
  readonly value: unknown;
  readonly path: string;
}

type Failure = { readonly ok: false; readonly problem: Problem };

function inWalkOrder(dropIns: readonly ConfigText[]): readonly ConfigText[] {
  return dropIns.filter(({ path }) => path.endsWith('.conf')).toSorted((a, b) => compareWalk(a.path, b.path));
}

/** filepath.WalkDir: by name in each directory, so `a/z.conf` comes before `a.conf`. */
function compareWalk(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')];
  const at = left.findIndex((part, index) => part !== right[index]);
  if (at === -1) return left.length - right.length;
  return (left[at] ?? '') < (right[at] ?? '') ? -1 : 1;
}

function readDocument(
  file: ConfigText,
  role: 'main' | 'dropIn',
): Failure | { readonly ok: true; readonly settings: readonly (readonly [string, unknown])[] } {
  // sigs.k8s.io/yaml speaks YAML 1.1 (yes and on are booleans) and reads the first document alone.
  const documents = parseAllDocuments(file.text, { version: '1.1', merge: true });
  const [document] = documents;
  if (document === undefined)
    return role === 'main' ? failure(file.path, 'it is empty') : { ok: true, settings: [] };
  const [error] = document.errors;
  if (error !== undefined) {
    return failure(file.path, error.message.replace(/ at line[^]*$/, ''), error.linePos?.[0]);
  }
  let content: unknown;
  try {
    content = document.toJS();
  } catch (error) {
    // An alias without its anchor, or so many aliases that the text explodes.
    return failure(file.path, error instanceof Error ? error.message : String(error));
  }
  if (content === null && role === 'dropIn') return { ok: true, settings: [] };
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return failure(file.path, 'it is no mapping');
  }
  const settings = Object.entries(content);
  const kind: unknown = settings.find(([key]) => key === 'kind')?.[1];
  // Drop-ins need a kind since about 1.30; before, they may go without.
  if (kind !== 'KubeletConfiguration' && (role === 'main' || kind !== undefined)) {
    return failure(file.path, `its kind is ${JSON.stringify(kind) ?? 'missing'}, not KubeletConfiguration`);
  }
  return { ok: true, settings };
}

function factsOf(merged: ReadonlyMap<string, Setting>): KubeletConfigReading {
  const list = typed(merged, 'allowedUnsafeSysctls', 'a list of names', isListOfStrings);
  const port = typed(merged, 'healthzPort', 'a number', isInteger);
  const address = typed(merged, 'healthzBindAddress', 'a text', isString);
  const protect = typed(merged, 'protectKernelDefaults', 'true or false', isBoolean);
  const swap = typed(merged, 'failSwapOn', 'true or false', isBoolean);
  const staticPods = typed(merged, 'staticPodPath', 'a text', isString);
  const runtime = typed(merged, 'containerRuntimeEndpoint', 'a text', isString);
  if (!list.ok) return list;
  if (!port.ok) return port;
  if (!address.ok) return address;
  if (!protect.ok) return protect;
  if (!swap.ok) return swap;
  if (!staticPods.ok) return staticPods;
  if (!runtime.ok) return runtime;
  return {
    ok: true,
    facts: {
      allowedUnsafeSysctls: list.value,
      healthzPort: port.value ?? 10248,
      healthzBindAddress: address.value ?? '127.0.0.1',
      protectKernelDefaults: protect.value ?? false,
      failSwapOn: swap.value ?? true,
      staticPodPath: staticPods.value,
      containerRuntimeEndpoint: runtime.value,
    },
    listFrom: merged.get('allowedUnsafeSysctls')?.path,
  };
}

function typed<T>(
  merged: ReadonlyMap<string, Setting>,
  key: string,
  wanted: string,
  is: (value: unknown) => value is T,
): Failure | { readonly ok: true; readonly value: T | undefined } {
  const setting = merged.get(key);
  if (setting === undefined) return { ok: true, value: undefined };
  if (is(setting.value)) return { ok: true, value: setting.value };
  return failure(setting.path, `${key} is ${JSON.stringify(setting.value)}, not ${wanted}`);
}

function isListOfStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isString);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isEmpty(value: unknown): boolean {
  return value === '' || value === 0 || value === false || (Array.isArray(value) && value.length === 0);
}

function failure(path: string, what: string, at?: { readonly line: number; readonly col: number }): Failure {
  return {
    ok: false,
    problem: {
      code: 'KUBELET_CONFIG_UNREADABLE',
      message: `cannot read the kubelet's configuration ${path}: ${what}`,
      where: { file: path, ...(at === undefined ? {} : { line: at.line, column: at.col }) },
      next: 'Correct that file; the running kubelet may have started before it was changed.',
    },
  };
}
