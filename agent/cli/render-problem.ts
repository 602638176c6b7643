import type { Problem } from '../errors.ts';
import { type Page, paint, visible, wrap } from './text.ts';

/** `refused  CODE  what is wrong`, where it stands, and the way out, indented. */
export function renderProblem(
  problem: Problem,
  word: 'refused' | 'warning' | 'error',
  page: Page,
): readonly string[] {
  const where = problem.where === undefined ? '' : `${visible(placeText(problem.where))}: `;
  const tone = word === 'warning' ? 'yellow' : 'red';
  return [
    `${paint(page, tone, word)}  ${paint(page, 'bold', problem.code)}`,
    ...wrap(`${where}${problem.message}`, page.width, '  '),
    ...(problem.next === undefined ? [] : wrap(problem.next, page.width, '  next: ')),
  ];
}

/** `file:line:column`, as editors and compilers write it. */
export function placeText(place: NonNullable<Problem['where']>): string {
  const line = place.line === undefined ? '' : `:${place.line}`;
  return `${place.file}${line}${place.line === undefined || place.column === undefined ? '' : `:${place.column}`}`;
}
