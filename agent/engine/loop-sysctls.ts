import type { SysctlReading, Sysctls } from '../host/sysctls.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { judge } from '../sysctl/values.ts';

/** The node sysctls of a policy, read again and again as cheaply as our namespaces allow. */
export interface SysctlEyes {
  /** By the policy's order; the same object as before while the value is the same. */
  read(index: number): SysctlReading;
  /** Looks at all of them; true when one meets the policy that did not, or the other way round. */
  look(): Promise<boolean>;
  close(): void;
}

/**
 * In the host's namespaces every reading is fresh, on descriptors that stay open. Elsewhere one process of ours in
 * the host's namespaces reads all of them once per `look`, and `read` gives what it brought.
 */
export function sysctlEyes(sysctls: Sysctls, policy: NodePolicy): SysctlEyes {
  const names = policy.sysctls.map(({ name }) => name);
  const reader = sysctls.openReader(names);
  const brought: SysctlReading[] = names.map(() => notYet);
  const seen: (SysctlReading | undefined)[] = names.map(() => undefined);
  const verdicts: (string | undefined)[] = names.map(() => undefined);
  const read = (index: number): SysctlReading => reader?.read(index) ?? brought[index] ?? notYet;

  return {
    read,
    async look() {
      if (reader === undefined) {
        const { readings } = await sysctls.read(names);
        for (const [index, name] of names.entries()) {
          const reading = readings.get(name) ?? notYet;
          if (!same(reading, brought[index])) brought[index] = reading;
        }
      }
      let changed = false;
      for (let index = 0; index < names.length; index += 1) {
        const reading = read(index);
        const expected = policy.sysctls[index];
        if (reading === seen[index] || expected === undefined) continue;
        seen[index] = reading;
        const verdict =
          reading.kind === 'value' ? judge(reading.value, expected.expectation) : reading.reason;
        if (verdicts[index] !== undefined && verdicts[index] !== verdict) changed = true;
        verdicts[index] = verdict;
      }
      return changed;
    },
    close: () => reader?.close(),
  };
}

const notYet: SysctlReading = { kind: 'unreadable', reason: 'wrongNamespace' };

function same(one: SysctlReading, other: SysctlReading | undefined): boolean {
  if (one.kind === 'value') return other?.kind === 'value' && one.value === other.value;
  return other?.kind === 'unreadable' && one.reason === other.reason;
}
