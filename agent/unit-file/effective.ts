import { physicalLines } from './lines.ts';
import { logicalLine, parse } from './parse.ts';
import type { AssignmentNode, UnitNode } from './parse.ts';
import { parseExec } from './exec.ts';
import type { ExecCommand } from './exec.ts';

/** A unit's fragment or drop-in: the fragment comes first, then the drop-ins in load order. */
export interface UnitSource {
  readonly path: string;
  readonly text: string;
}

export interface Origin {
  readonly path: string;
  /** First line of the assignment, counted from 1. */
  readonly line: number;
  /** Index into `parse(text).nodes`. */
  readonly nodeIndex: number;
}

export interface EffectiveValue {
  readonly value: string;
  readonly origin: Origin;
}

export interface EffectiveCommand {
  readonly origin: Origin;
  readonly command: ExecCommand;
}

export interface UnitProblem {
  readonly origin: Origin;
  readonly reason: string;
  /** What systemd does about it. */
  readonly effect: 'lineIgnored' | 'restOfFileIgnored' | 'unitRefused';
}

/** What systemd would see. */
export interface EffectiveUnit {
  /** The commands of `ExecStart`, `ExecStop`, … in [Service] after resets, those split by `;` one by one. */
  readonly commands: (key: string) => readonly EffectiveCommand[];
  /** The last value; undefined when there is none or an empty assignment took it back. */
  readonly last: (section: string, key: string) => EffectiveValue | undefined;
  /** Every value since the last empty assignment. */
  readonly all: (section: string, key: string) => readonly EffectiveValue[];
  readonly problems: readonly UnitProblem[];
}

/**
 * Read a unit as systemd does: files in order, the last scalar wins, an empty assignment resets a list. Never
 * throws: what systemd would ignore or refuse is in `problems`.
 */
export function readUnit(sources: readonly UnitSource[]): EffectiveUnit {
  const values = new Map<string, EffectiveValue[]>();
  const commands = new Map<string, EffectiveCommand[]>();
  const problems: UnitProblem[] = [];

  for (const [index, source] of sources.entries()) {
    for (const step of assignmentsOf(source, index === 0)) {
      if (step.kind === 'problem') {
        problems.push(step.problem);
        continue;
      }
      const { node, origin } = step;
      const name = `${node.section ?? ''}\n${node.key}`;
      if (node.value === '') {
        values.delete(name);
        commands.delete(name);
        continue;
      }
      values.set(name, [...(values.get(name) ?? []), { value: node.value, origin }]);
      const added = step.commands.map((command) => ({ origin, command }));
      if (added.length > 0) commands.set(name, [...(commands.get(name) ?? []), ...added]);
    }
  }

  return {
    commands: (key) => commands.get(`Service\n${key}`) ?? [],
    last: (section, key) => values.get(`${section}\n${key}`)?.at(-1),
    all: (section, key) => values.get(`${section}\n${key}`) ?? [],
    problems,
  };
}

const execKeys: ReadonlySet<string> = new Set([
  'ExecCondition',
  'ExecStartPre',
  'ExecStart',
  'ExecStartPost',
  'ExecReload',
  'ExecStop',
  'ExecStopPost',
]);

// LONG_LINE_MAX in src/basic/fileio.h; read_line() fails when that many bytes were read, end of line or not.
const lineLimitBytes = 1024 * 1024;

type Step =
  | { kind: 'assignment'; node: AssignmentNode; origin: Origin; commands: readonly ExecCommand[] }
  | { kind: 'problem'; problem: UnitProblem };

function* assignmentsOf(source: UnitSource, isFragment: boolean): Generator<Step, void> {
  const giveUp = isFragment ? 'unitRefused' : 'restOfFileIgnored';
  for (const [nodeIndex, node] of parse(source.text).nodes.entries()) {
    const origin: Origin = { path: source.path, line: node.line, nodeIndex };
    if (isTooLong(node)) {
      yield { kind: 'problem', problem: { origin, reason: 'a line of 1 MiB or more', effect: giveUp } };
      return;
    }
    if (node.kind === 'unknown') {
      const effect = node.reason === 'badSection' ? giveUp : 'lineIgnored';
      yield { kind: 'problem', problem: { origin, reason: unknownReasons[node.reason], effect } };
      if (effect !== 'lineIgnored') return;
    }
    if (node.kind !== 'assignment') continue;
    if (node.section === undefined) {
      const reason = 'an assignment before the first section';
      yield { kind: 'problem', problem: { origin, reason, effect: 'lineIgnored' } };
      continue;
    }
    if (node.section !== 'Service' || !execKeys.has(node.key)) {
      yield { kind: 'assignment', node, origin, commands: [] };
      continue;
    }
    const parsed = parseExec(node);
    if (parsed.ok || parsed.commands.length > 0) {
      yield { kind: 'assignment', node, origin, commands: parsed.commands };
    }
    if (parsed.ok) continue;
    const effect = parsed.fatal ? giveUp : 'lineIgnored';
    yield { kind: 'problem', problem: { origin, reason: parsed.reason, effect } };
    if (parsed.fatal) return;
  }
}

const unknownReasons = {
  badSection: 'an invalid section header',
  noEquals: "neither a section nor an assignment (no '=')",
  noKey: "no name before '='",
} as const;

function isTooLong(node: UnitNode): boolean {
  if (node.source.length * 3 < lineLimitBytes) return false;
  const joined = node.kind === 'assignment' ? logicalLine(node.source, node.pieces) : '';
  return (
    byteLength(joined) > lineLimitBytes ||
    physicalLines(node.source).some(
      ({ start, contentEnd }) => byteLength(node.source.slice(start, contentEnd)) >= lineLimitBytes,
    )
  );
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
