import type { Problem } from '../errors.ts';

/** A kernel value that the kubelet insists on. */
export interface KernelDefault {
  readonly name: string;
  readonly value: string;
}

/** A kernel value that would stop a kubelet with protectKernelDefaults. */
export interface KernelDefaultDrift extends KernelDefault {
  /** What was read; undefined where it could not be read. */
  readonly actual: string | undefined;
}

/**
 * What the kubelet sets at start, or, with protectKernelDefaults, demands (setupKernelTunables in
 * pkg/kubelet/cm/container_manager_linux.go).
 */
export const kernelDefaults: readonly KernelDefault[] = [
  { name: 'vm.overcommit_memory', value: '1' },
  { name: 'vm.panic_on_oom', value: '0' },
  { name: 'kernel.panic', value: '10' },
  { name: 'kernel.panic_on_oops', value: '1' },
  { name: 'kernel.keys.root_maxkeys', value: '1000000' },
  { name: 'kernel.keys.root_maxbytes', value: '25000000' },
];

/** The defaults that the node does not hold now; a value that cannot be read counts as one. */
export function driftedKernelDefaults(
  read: (name: string) => string | undefined,
): readonly KernelDefaultDrift[] {
  return kernelDefaults
    .map((wanted) => ({ ...wanted, actual: read(wanted.name)?.trim() }))
    .filter(({ value, actual }) => actual !== value);
}

/** The refusal for a kubelet that would not start again; undefined where nothing drifted. Only with protectKernelDefaults. */
export function kernelDefaultsProblem(drifted: readonly KernelDefaultDrift[]): Problem | undefined {
  if (drifted.length === 0) return undefined;
  const texts = drifted.map(
    ({ name, value, actual }) =>
      // The kubelet's own words, in its own spelling.
      `invalid kernel flag: ${name.replaceAll('.', '/')}, expected value: ${value}, actual value: ${actual ?? 'unknown'}`,
  );
  return {
    code: 'KERNEL_DEFAULTS_DRIFTED',
    message: `the kubelet has protectKernelDefaults and would not start again: ${texts.join('; ')}`,
    next: `Set them first: sysctl -w ${drifted.map(({ name, value }) => `${name}=${value}`).join(' ')}`,
  };
}
