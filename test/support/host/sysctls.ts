import type { Means, SysctlReading, Sysctls, UnreadableReason } from '../../../agent/host/sysctls.ts';
import { normaliseName } from '../../../agent/sysctl/names.ts';

export interface FakeSysctls extends Sysctls {
  /** Somebody sets a value behind our back; undefined takes the sysctl away. */
  set(name: string, value: string | undefined): void;
  /** From now on reading it fails for this reason. */
  hide(name: string, reason: UnreadableReason): void;
  /** From now on the kernel refuses what is written to it. */
  refuse(name: string, errno: string): void;
  /** From now on this is how the host is reached. With `none` nothing is. */
  reach(means: Means): void;
  /** Every write that the kernel took, in order. */
  readonly written: readonly { readonly name: string; readonly value: string }[];
}

/** A kernel with these values and no others. */
export function fakeSysctls(initial: Readonly<Record<string, string>> = {}): FakeSysctls {
  const values = new Map(Object.entries(initial).map(([name, value]) => [normaliseName(name), value]));
  const hidden = new Map<string, UnreadableReason>();
  const refused = new Map<string, string>();
  const written: { name: string; value: string }[] = [];
  let current: Means = { via: 'direct' };

  const readOne = (name: string): SysctlReading => {
    const key = normaliseName(name);
    if (current.via === 'none') return { kind: 'unreadable', reason: 'wrongNamespace' };
    const reason = hidden.get(key);
    if (reason !== undefined) return { kind: 'unreadable', reason };
    const value = values.get(key);
    return value === undefined ? { kind: 'unreadable', reason: 'absent' } : { kind: 'value', value };
  };

  return {
    written,
    set(name, value) {
      if (value === undefined) values.delete(normaliseName(name));
      else values.set(normaliseName(name), value);
    },
    hide: (name, reason) => void hidden.set(normaliseName(name), reason),
    refuse: (name, errno) => void refused.set(normaliseName(name), errno),
    reach(means) {
      current = means;
    },
    async read(names) {
      return { readings: new Map(names.map((name) => [name, readOne(name)])), ...current };
    },
    async write(name, value) {
      const key = normaliseName(name);
      if (current.via === 'none') return { kind: 'refused', reason: current.problem ?? 'out of reach' };
      const errno = refused.get(key) ?? (values.has(key) ? undefined : 'ENOENT');
      if (errno !== undefined) return { kind: 'refused', reason: errno };
      values.set(key, value);
      written.push({ name: key, value });
      return { kind: 'written' };
    },
    async list(prefix = '') {
      return { names: [...values.keys()].filter((name) => name.startsWith(prefix)).sort(), ...current };
    },
    openReader(names) {
      if (current.via === 'nsenter') return undefined;
      return { length: names.length, read: (index) => readOne(names[index] ?? ''), close: () => undefined };
    },
  };
}
