/** A kubelet's version as it prints it itself. */
export interface KubeletVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Everything after the `v`'s word boundary, with pre-release and build: `v1.27.3+k3s1`. */
  readonly text: string;
}

/**
 * Reads `kubelet --version` ("Kubernetes v1.36.2") or a Node's `kubeletVersion` ("v1.27.3+k3s1"). Undefined when
 * there is no version of three numbers in it; a pre-release counts as its release.
 */
export function parseKubeletVersion(output: string): KubeletVersion | undefined {
  const match = /(?:^|\s)(v(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-+][0-9A-Za-z.+-]*)?)(?=\s|$)/.exec(output);
  if (match === null) return undefined;
  const [, text = '', major, minor, patch] = match;
  return { major: Number(major), minor: Number(minor), patch: Number(patch), text };
}

/** Whether a version is `1.minor` or later. */
export function isAtLeast(version: KubeletVersion, minor: number): boolean {
  return version.major > 1 || (version.major === 1 && version.minor >= minor);
}
