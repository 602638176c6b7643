import type { Notes, PlacementChoice, PlacementOption } from '../plan/plan.ts';
import { type Page, paint, shorten, wrap } from './text.ts';

/** The placement that was chosen: where, why, what becomes of it later and what it hides, all of it in full. */
export function chosenLines(
  placement: PlacementChoice | undefined,
  notes: Notes,
  page: Page,
): readonly string[] {
  if (placement === undefined) return [];
  const option = notes.comparison?.find(({ chosen }) => chosen);
  return [
    ...wrap(`${placement.kind}, in ${placement.path}`, page.width, 'placement  '),
    ...[
      `because ${placement.why}`,
      ...(option === undefined ? [] : [`survives ${survival(option, notes)}`]),
      ...(option?.hides === undefined ? [] : [`hides ${option.hides}`]),
    ].flatMap((sentence) => wrap(sentence, page.width, '           ')),
  ];
}

/**
 * The placements of this node side by side, one line each; `*` marks the one that was chosen. Texts that do not fit end
 * in `…`: a plan that asks for that placement, and the JSON, say them whole. Without `restarts` nothing is said of
 * reload and restart.
 */
export function placementLines(notes: Notes, restarts: boolean, page: Page): readonly string[] {
  const options = notes.comparison ?? [];
  if (options.length === 0) return [];
  const kindWidth = Math.max(6, ...options.map(({ kind }) => kind.length)) + 2;
  const costs = restarts && page.width >= 72;
  const heading = `${'placements'.padEnd(4 + kindWidth)}${costs ? 'reload  restart  ' : ''}survives`;
  return [
    paint(page, 'bold', heading),
    ...options.map((option) => {
      const name = `${option.chosen ? '  * ' : '    '}${option.kind.padEnd(kindWidth)}`;
      const needs = costs ? `${yesNo(option.reload).padEnd(8)}${yesNo(option.restart).padEnd(9)}` : '';
      const lead = option.possible ? `${name}${needs}` : name;
      const text = option.possible
        ? survival(option, notes)
        : `impossible: ${option.why ?? 'no reason given'}`;
      const line = `${lead}${shorten(brief(text), page.width - lead.length)}`;
      return option.chosen ? paint(page, 'bold', line) : option.possible ? line : paint(page, 'dim', line);
    }),
  ];
}

/** What becomes of a placement later. What an owner does with it is said once, among the warnings and hints. */
function survival({ survives }: PlacementOption, { warnings, hints }: Notes): string {
  const told = [...warnings.map(({ message }) => message), ...hints];
  const clauses = survives.split('; ');
  const from = clauses.findIndex(
    (_, index) => index > 0 && told.some((text) => text.includes(clauses.slice(index).join('; '))),
  );
  return from === -1 ? survives : `${clauses.slice(0, from).join('; ')}; but see below`;
}

/** Long paths by their file's name, flags by theirs: a line of the table has no room for more. */
function brief(text: string): string {
  return text
    .replaceAll(/(?<![^\s("'])\/(?:[^\s/,;:()]+\/){2,}([^\s/,;:()]+)/g, '…/$1')
    .replaceAll(/(--[a-z][a-z-]+)=\S+/g, '$1');
}

function yesNo(answer: boolean): string {
  return answer ? 'yes' : 'no';
}
