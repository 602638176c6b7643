import type { Problem } from '../errors.ts';
import { placeText } from './render-problem.ts';
import { instruction, type Page, paint, visible, wrap } from './text.ts';
import type { Validation } from './validate.ts';

/** Problems as compilers write them, `file:line:column: error: …`, so that editors and CI find the place. */
export function renderValidation(validation: Validation, page: Page): readonly string[] {
  const { problems, warnings, policies, files } = validation;
  return [
    ...problems.flatMap((problem) => complaint(problem, 'error', page)),
    ...warnings.flatMap((problem) => complaint(problem, 'warning', page)),
    problems.length > 0
      ? paint(page, 'red', `${count(problems.length, 'problem')} in ${count(files.length, 'file')}.`)
      : paint(
          page,
          'green',
          `Valid: ${policies.length === 1 ? '1 policy' : `${policies.length} policies`} in ${count(files.length, 'file')}${warnings.length === 0 ? '' : `, ${count(warnings.length, 'warning')}`}.`,
        ),
  ];
}

function complaint(problem: Problem, word: 'error' | 'warning', page: Page): readonly string[] {
  const place = problem.where === undefined ? '' : `${visible(placeText(problem.where))}: `;
  return [
    `${paint(page, 'bold', place)}${paint(page, word === 'error' ? 'red' : 'yellow', `${word}:`)} ${problem.code}`,
    ...wrap(problem.message, page.width, '  '),
    ...(problem.next === undefined ? [] : instruction(problem.next, page.width, '  next: ')),
  ];
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
