import type { KubeletVersion } from './version.ts';
import { isAtLeast } from './version.ts';

/** The parts of a kernel's release that safe sysctls depend on. */
export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

/** A sysctl that kubelets allow by themselves: since which minor version 1.x, and on which kernel. */
export interface SafeSysctl {
  readonly name: string;
  readonly sinceMinor: number;
  readonly kernel: KernelVersion | undefined;
}

/** All safe sysctls up to kubelet 1.36, oldest first (pkg/kubelet/sysctl/safe_sysctls.go). */
export const knownSafeSysctls: readonly SafeSysctl[] = [
  safe('kernel.shm_rmid_forced', 11),
  safe('net.ipv4.ip_local_port_range', 11),
  safe('net.ipv4.tcp_syncookies', 11),
  safe('net.ipv4.ping_group_range', 18),
  safe('net.ipv4.ip_unprivileged_port_start', 22),
  safe('net.ipv4.ip_local_reserved_ports', 27, 3, 16),
  safe('net.ipv4.tcp_keepalive_time', 29, 4, 5),
  safe('net.ipv4.tcp_fin_timeout', 29, 4, 6),
  safe('net.ipv4.tcp_keepalive_intvl', 29, 4, 5),
  safe('net.ipv4.tcp_keepalive_probes', 29, 4, 5),
  safe('net.ipv4.tcp_rmem', 32, 4, 15),
  safe('net.ipv4.tcp_wmem', 32, 4, 15),
];

/**
 * The sysctls that this kubelet allows without an entry. Unknown kubelet: what every one since 1.11 allows. Unknown
 * kernel: without those that need a certain one, which is what the kubelet itself does then.
 */
export function safeSysctls(
  version: KubeletVersion | undefined,
  kernel: KernelVersion | undefined,
): readonly string[] {
  return knownSafeSysctls
    .filter((sysctl) =>
      version === undefined ? sysctl.sinceMinor === 11 : isAtLeast(version, sysctl.sinceMinor),
    )
    .filter(
      (sysctl) => sysctl.kernel === undefined || (kernel !== undefined && reaches(kernel, sysctl.kernel)),
    )
    .map(({ name }) => name);
}

/** Reads `uname -r` or /proc/sys/kernel/osrelease: "5.14.0-427.el9.x86_64", "6.18.44+", "4.15". */
export function parseKernelRelease(text: string): KernelVersion | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?![\d])/.exec(text.trim());
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

function reaches(kernel: KernelVersion, wanted: KernelVersion): boolean {
  return kernel.major > wanted.major || (kernel.major === wanted.major && kernel.minor >= wanted.minor);
}

function safe(name: string, sinceMinor: number, major?: number, minor = 0): SafeSysctl {
  return { name, sinceMinor, kernel: major === undefined ? undefined : { major, minor } };
}
