import { unreachable } from '../errors.ts';
import { driftedNames, isDrifted } from '../plan/drift.ts';
import type { LoopState } from '../transaction/loop-position.ts';
import type { Look } from './loop-look.ts';
import type { LoopLog } from './loop-ports.ts';

/** What decides about the name of a state, besides the look. */
export interface Standing {
  readonly broken: boolean;
  readonly fighting: boolean;
  readonly halted: boolean;
  readonly waiting: boolean;
}

/** The one state that the loop shows after a look. */
export function stateOf(look: Look, standing: Standing): LoopState {
  if (standing.broken) return 'broken';
  if (standing.fighting) return 'fighting';
  switch (look.wish) {
    case 'nothing':
      return isDrifted(look.drift) ? 'drifted' : 'converged';
    case 'refused':
      return 'refused';
    case 'latched':
      return 'latched';
    case 'change':
      // What the kubelet's part stands at is the news, also while the node sysctls are put right.
      if (look.latch !== undefined) return 'latched';
      if (look.plan?.subject === 'sysctls' && look.problems.length > 0) return 'refused';
      if (standing.halted) return 'halted';
      return standing.waiting ? 'waitingForSlot' : 'drifted';
    default:
      return unreachable(look.wish);
  }
}

/** Logs what a look found that the one before had not: one line for drift, one for each new reason to refuse. */
export function logLook(log: LoopLog, before: Look | undefined, look: Look): void {
  if (before === undefined || driftKey(before) !== driftKey(look)) {
    const drifted = isDrifted(look.drift);
    const message = drifted ? 'the node differs from the policy' : 'the node is as the policy wants it';
    log(drifted ? 'warn' : 'info', 'drift', driftFields(look), message);
  }
  const known = new Set(before?.problems.map(({ code }) => code));
  for (const { code, message, next } of look.problems) {
    if (!known.has(code)) log('warn', 'refused', { code, next }, message);
  }
}

function driftKey(look: Look): string {
  return driftedNames(look.drift)
    .map(({ kind, name }) => `${kind}/${name}`)
    .join(' ');
}

function driftFields({ drift }: Look): Readonly<Record<string, unknown>> {
  const shown = 256;
  return {
    needsReload: drift.needsReload ?? null,
    layers: drift.layers
      .filter(({ missing, extra }) => missing.length + extra.length > 0)
      .map(({ layer, missing, extra, ...view }) => ({
        layer,
        missing: missing.slice(0, shown),
        extra: extra.slice(0, shown),
        holder: view.kind === 'known' ? (view.holder ?? null) : null,
      })),
    sysctls: drift.sysctls
      .filter(({ state }) => state === 'drifted')
      .slice(0, shown)
      .map(({ name, expected, found, setBy, source }) => ({
        name,
        expected,
        found: found?.slice(0, shown) ?? null,
        setBy,
        source: source === undefined ? null : `${source.path}:${source.line}`,
      })),
  };
}
