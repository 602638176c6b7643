import type { Problem } from '../errors.ts';
import { sameWords } from '../kubelet/argv.ts';
import type { LoadedCommand, LoadedUnit } from '../plan/observed.ts';
import type { Expectation } from '../plan/plan.ts';

/**
 * Compares what systemd itself parsed with what the plan promised, before any restart: loaded, one ExecStart, its
 * words exactly the old ones and our flag, every other guarded setting as it was. Undefined means proven.
 */
export function proveLoaded(
  unit: LoadedUnit,
  expectation: Expectation,
  which: 'before' | 'after',
): Problem | undefined {
  const failed = (message: string): Problem => ({ code: 'PROOF_FAILED', message });
  if (unit.loadState !== 'loaded') {
    return failed(
      `after the reload ${unit.id} is ${unit.loadState}${unit.loadError === '' ? '' : ` (${unit.loadError})`}`,
    );
  }
  const [command, ...more] = unit.execStart;
  if (command === undefined || more.length > 0)
    return failed(`systemd now sees ${unit.execStart.length} ExecStart commands`);
  const wanted = which === 'after' ? expectation.commandAfter : expectation.commandBefore;
  if (!sameCommand(command, wanted)) {
    return failed(`systemd reads ${JSON.stringify(command)} where ${JSON.stringify(wanted)} was meant`);
  }
  for (const [name, value] of Object.entries(expectation.settings)) {
    if (unit.settings[name] !== value) {
      return failed(
        `${name} would change from ${value} to ${unit.settings[name] ?? 'nothing'}; only the allowlist may change`,
      );
    }
  }
  if (which === 'after') {
    const missing = expectation.dropInPathsAfter.filter((path) => !unit.dropInPaths.includes(path));
    if (missing.length > 0) return failed(`systemd does not read ${missing.join(', ')}`);
  }
  return undefined;
}

function sameCommand(a: LoadedCommand, b: LoadedCommand): boolean {
  return (
    a.path === b.path && sameWords(a.argv, b.argv) && sameWords([...a.flags].sort(), [...b.flags].sort())
  );
}
