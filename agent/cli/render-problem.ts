import type { Problem } from '../errors.ts';
import { instruction, type Page, paint, visible, wrap } from './text.ts';

/** `refused  CODE  what is wrong`, where it stands, and the way out, indented; a snippet in it stays as it is. */
export function renderProblem(
  problem: Problem,
  word: 'refused' | 'warning' | 'error',
  page: Page,
): readonly string[] {
  const { where: place, message } = problem;
  const said = place === undefined || (place.line === undefined && message.includes(place.file));
  const where = said ? '' : `${visible(placeText(place))}: `;
  const tone = word === 'warning' ? 'yellow' : 'red';
  return [
    `${paint(page, tone, word)}  ${paint(page, 'bold', problem.code)}`,
    ...wrap(`${where}${message}`, page.width, '  '),
    ...(problem.next === undefined ? [] : instruction(problem.next, page.width, '  next: ')),
  ];
}

/** `file:line:column`, as editors and compilers write it. */
export function placeText(place: NonNullable<Problem['where']>): string {
  const line = place.line === undefined ? '' : `:${place.line}`;
  return `${place.file}${line}${place.line === undefined || place.column === undefined ? '' : `:${place.column}`}`;
}
