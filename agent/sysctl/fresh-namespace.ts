import { normaliseName } from './names.ts';

/** What a pod with its own network namespace finds in place of a `net.` sysctl. */
export type FreshNetworkValue = 'own' | 'absent' | 'readOnly';

/**
 * Whether a fresh network namespace has a `net.` sysctl of its own, none, or the node's to look at. Measured on kernel
 * 6.18; there the kernel takes the write bits where a table still points at global data (ensure_safe_net_sysctl). Older
 * kernels let nf_conntrack_max be written from a pod although it is the node's.
 */
export function freshNetworkValue(name: string): FreshNetworkValue {
  const key = normaliseName(name);
  if (readOnly.some((pattern) => pattern.test(key))) return 'readOnly';
  return absent.some((pattern) => pattern.test(key)) ? 'absent' : 'own';
}

/** Whether a fresh network namespace starts with the node's value and not with the kernel's default (tcp_init_net). */
export function isCopiedFromNode(name: string): boolean {
  return copied.has(normaliseName(name));
}

const copied: ReadonlySet<string> = new Set([
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
  'net.ipv4.tcp_congestion_control',
]);

const readOnly: readonly RegExp[] = [
  /^net\.core\.[rw]mem_(max|default)$/,
  /^net\.ipv4\.tcp_allowed_congestion_control$/,
  /^net\.netfilter\.nf_conntrack_(buckets|expect_max|max)$/,
];

const absent: readonly RegExp[] = [
  /^net\.core\.(bpf_jit_|busy_|dev_weight|flow_limit_|netdev_budget|message_)/,
  /^net\.core\.(default_qdisc|devconf_inherit_init_net|max_skb_frags|netdev_max_backlog|netdev_rss_key|rps_sock_flow_entries)$/,
  /^net\.ipv4\.(tcp_mem|udp_mem|tcp_max_orphans|tcp_low_latency|fib_sync_mem)$/,
  /^net\.ipv4\.(inet_peer_|cipso_|route\.(gc_|max_size$|error_|redirect_))/,
  /^net\.ipv[46]\.neigh\.default\./,
  /^net\.ipv6\.(mld_|calipso_)/,
  /^net\.nf_conntrack_max$/,
  /^net\.netfilter\.nf_log_all_netns$/,
];
