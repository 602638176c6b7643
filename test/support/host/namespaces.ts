import type { NamespaceFacts } from '../../../agent/host/namespaces.ts';

/** What a pod sees: everything the host's, unless told otherwise. */
export function namespaceFacts(differing: Partial<NamespaceFacts> = {}): NamespaceFacts {
  return {
    net: 'host',
    ipc: 'host',
    pid: 'host',
    uts: 'host',
    mnt: 'other',
    user: 'host',
    hostInit: 'seen',
    ...differing,
  };
}
