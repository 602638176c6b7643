import type { ReadRunningPods, RunningPod, RunningPods } from '../../../agent/host/running-pods.ts';

export interface FakeRunningPods {
  readonly read: ReadRunningPods;
  /** From now on; a reason stands for a node that cannot tell. */
  set(
    pods:
      readonly (Partial<RunningPod> & Pick<RunningPod, 'name' | 'sysctls'>)[] | { readonly unknown: string },
  ): void;
}

/** A node on which no pod runs, until told otherwise. */
export function fakeRunningPods(): FakeRunningPods {
  let current: RunningPods = { kind: 'known', pods: [], runtime: 'containerd' };
  return {
    read: async () => current,
    set(pods) {
      current =
        'unknown' in pods
          ? { kind: 'unknown', reason: pods.unknown }
          : {
              kind: 'known',
              pods: pods.map((pod) => ({ namespace: 'default', uid: pod.name, ...pod })),
              runtime: 'containerd',
            };
    },
  };
}
