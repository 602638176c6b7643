import type { ObservationPorts } from './observe.ts';

/**
 * Asks a running kubelet for its version once: starting it for `--version` costs more than all the rest of a look. A
 * process is known by its pid and start; one that gave no answer is asked again.
 */
export function rememberVersion(ports: ObservationPorts): ObservationPorts {
  let known: { readonly key: string; readonly version: string } | undefined;
  return {
    ...ports,
    async kubeletVersion(executable, argvPrefix) {
      const pid = Number(/^\/proc\/(\d+)\/exe$/.exec(executable)?.[1] ?? 0);
      const key = `${executable} ${ports.process(pid)?.startTicks ?? 'gone'} ${argvPrefix.join(' ')}`;
      if (known?.key === key) return known.version;
      const version = await ports.kubeletVersion(executable, argvPrefix);
      known = version === undefined ? undefined : { key, version };
      return version;
    },
  };
}
