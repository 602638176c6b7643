import { unite } from './allowlist.ts';

/**
 * The allowlist that a kubelet works with, normalised: the flag REPLACES the list of its config files and never joins
 * it, so an empty flag wipes that list (kubeletConfigFlagPrecedence in cmd/kubelet/app).
 */
export function inForce(
  flagEntries: readonly string[] | undefined,
  fileEntries: readonly string[] | undefined,
): readonly string[] {
  return unite(flagEntries ?? fileEntries ?? []);
}
