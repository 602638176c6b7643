import { namespaceOf } from '../sysctl/namespaced.ts';

/** What to write instead of an entry that does not look like one. */
export function adviceForMalformed(entry: string): string {
  if (entry.trim() === '')
    return 'Remove the empty entry: two commas in a row and a comma at the end make one.';
  if (entry !== entry.trim()) return `Write ${entry.trim()} without blanks around it.`;
  if (entry.includes('=')) return 'Write the name alone: an entry allows a sysctl, the pod sets its value.';
  if (/["'`]/.test(entry)) return 'Leave the quotes out: the kubelet takes them as part of the name.';
  if (/[,;\s]/.test(entry)) return 'Write one entry for each name.';
  if (/[A-Z]/.test(entry))
    return 'Write lower case: the kubelet accepts no other; a pattern ending in * may cover the name.';
  if (entry.indexOf('*') !== -1 && entry.indexOf('*') !== entry.length - 1) {
    return `A * may stand once, at the very end: ${entry.slice(0, entry.indexOf('*'))}* would cover it.`;
  }
  if (/[./]$/.test(entry))
    return `Write ${entry}* to allow everything below, or leave the last separator out.`;
  if (entry.includes('/')) {
    return 'Kubelets up to 1.22 know no slash; a pattern that ends in * before it works everywhere.';
  }
  return 'Write the name as sysctl prints it, or a pattern that ends in *.';
}

/** What to do about a well-formed entry that no pod may set, or that is written too narrowly for the kubelet. */
export function adviceForNotNamespaced(entry: string): string {
  const name = entry.replace(/\*$/, '');
  if (name === 'net' || name === 'fs.mqueue') return `Write ${name}.* for everything below ${name}.`;
  const family = /^kernel\.(shm|msg)/.exec(name)?.[1];
  if (family !== undefined) {
    return `Write kernel.${family}* or the full names: since 1.29 the kubelet knows the kernel.${family} names one by one.`;
  }
  if (name === '' || 'kernel.'.startsWith(name)) {
    return 'Name the families instead: net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*.';
  }
  if (namespaceOf(name) === 'uts') return 'Set hostname, subdomain or setHostnameAsFQDN in the pod instead.';
  return 'Only net.*, fs.mqueue.* and the kernel.shm, kernel.msg and kernel.sem families exist per pod. Set this one on the node, under sysctls.';
}
