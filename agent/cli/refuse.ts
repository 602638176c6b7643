import type { Problem } from '../errors.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts';
import { type JsonCommand, jsonHead, writeJson } from './json.ts';
import type { Output } from './options.ts';
import { renderProblem } from './render-problem.ts';

/** Says why a command did nothing: all problems, as text on standard error or as the command's JSON object. */
export function refuse(
  context: CliContext,
  command: JsonCommand,
  output: Output,
  problems: readonly Problem[],
): ExitCode {
  const exitCode = worstOf(problems);
  const word = exitCode === exitCodes.refused ? 'refused' : 'error';
  if (output === 'json') {
    writeJson(context, jsonHead(context, command, { outcome: word, exitCode, problems }));
  } else {
    const { columns: width, colour } = context.stderr;
    writeLines(
      context.stderr,
      problems.flatMap((problem) => renderProblem(problem, word, { width, colour })),
    );
  }
  return exitCode;
}

// A person first, then a bug; wrong usage only where nothing else is wrong.
const order: readonly ExitCode[] = [
  exitCodes.needsPerson,
  exitCodes.internal,
  exitCodes.refused,
  exitCodes.usage,
];

function worstOf(problems: readonly Problem[]): ExitCode {
  const found = new Set(problems.map(exitCodeOf));
  return order.find((code) => found.has(code)) ?? exitCodes.internal;
}
