import type { ApplyOutcome } from '../engine/apply.ts';
import type { ImageOutcome } from '../engine/apply-image.ts';
import type { RollBackLastOutcome } from '../engine/roll-back-last.ts';
import type { RecoveryOutcome } from '../engine/recover.ts';
import { type Problem, unreachable } from '../errors.ts';
import type { Journal } from '../transaction/journal.ts';
import { renderProblem } from './render-problem.ts';
import { type Page, paint, wrap } from './text.ts';

/** What an apply came to, in one plain sentence, and what to do next where it did not succeed. */
export function renderApplied(outcome: ApplyOutcome, page: Page): readonly string[] {
  return [...recovered(outcome.recovered, page), ...verdict(outcome, page)];
}

/** What became of an image. */
export function renderImage(outcome: ImageOutcome, page: Page): readonly string[] {
  switch (outcome.kind) {
    case 'converged':
      return [paint(page, 'green', 'Nothing to do: the image is as the policy wants it.')];
    case 'refused':
      return refusal(outcome.problems, page);
    case 'written':
      return [
        ...outcome.files.flatMap((file) =>
          wrap(file.path, page.width, file.after === null ? '  removed  ' : '  wrote    '),
        ),
        ...good(
          'Written. Nothing runs in this image, so nothing was reloaded or restarted, and no sysctl was set.',
          page,
        ),
      ];
    default:
      return unreachable(outcome);
  }
}

/** What a rollback that a person asked for came to. */
export function renderRolledBack(outcome: RollBackLastOutcome, page: Page): readonly string[] {
  switch (outcome.kind) {
    case 'committed':
      return [
        ...outcome.warnings.flatMap((problem) => renderProblem(problem, 'warning', page)),
        ...good(
          `Rolled back: what ${outcome.journal.undoes ?? 'the last apply'} had replaced is back.`,
          page,
        ),
        ...foreign(outcome.journal, page),
      ];
    case 'finished':
      return [
        ...good(`Transaction ${outcome.journal.id} had been interrupted; it is taken back.`, page),
        ...wrap(
          'Committed transactions were not touched; run it again to roll the last one back.',
          page.width,
        ),
        ...foreign(outcome.journal, page),
      ];
    case 'refused':
      return refusal(outcome.problems, page);
    case 'rolledBack':
      return [
        ...renderProblem(outcome.problem, 'error', page),
        ...wrap(
          'The kubelet failed with its old command, so the newer one was put back: the node is as it was before this rollback.',
          page.width,
        ),
        ...foreign(outcome.journal, page),
      ];
    case 'broken':
      return broken(outcome.journal, outcome.problem, page);
    default:
      return unreachable(outcome);
  }
}

/** All problems of something that was refused, and that nothing happened. */
export function refusal(problems: readonly Problem[], page: Page): readonly string[] {
  return [...problems.flatMap((problem) => renderProblem(problem, 'refused', page)), 'Nothing was touched.'];
}

/** The node is as before, and why. */
export function rolledBack(journal: Journal, problem: Problem, page: Page): readonly string[] {
  const by = journal.verdict?.by === 'watchdog' ? "the host's watchdog" : 'the agent';
  return [
    ...renderProblem(problem, 'error', page),
    ...wrap(`Rolled back by ${by}: the node is as it was before transaction ${journal.id}.`, page.width),
    ...foreign(journal, page),
  ];
}

/** Nothing more that a program should try. */
export function broken(journal: Journal, problem: Problem, page: Page): readonly string[] {
  const sentence = paint(page, 'red', 'This node needs a person: the roll-back itself failed.');
  return [
    ...renderProblem(problem, 'error', page),
    sentence,
    ...wrap(
      `look at \`systemctl status ${journal.plan.unit}\`; the files as they were before are in /var/lib/kubelet-sysctl-agent/backup/${journal.id}. When the kubelet runs, \`kubelet-sysctl-agent rollback\` closes the transaction.`,
      page.width,
      '  next: ',
    ),
    ...foreign(journal, page),
  ];
}

/** A success, in green. */
export function good(text: string, page: Page): readonly string[] {
  return wrap(text, page.width).map((line) => paint(page, 'green', line));
}

/** Files that somebody else changed while the transaction ran. */
export function foreign(journal: Journal, page: Page): readonly string[] {
  const kept = journal.verdict?.keptForeignFiles ?? [];
  return kept.flatMap((file) =>
    wrap(`somebody else's edit of a file was kept as ${file}`, page.width, 'note  '),
  );
}

function verdict(outcome: ApplyOutcome, page: Page): readonly string[] {
  switch (outcome.kind) {
    case 'converged':
      return [paint(page, 'green', 'Nothing to do: the node is as the policy wants it.')];
    case 'committed':
      return [
        ...good(`${achieved(outcome.journal)} Transaction ${outcome.journal.id} is committed.`, page),
        ...foreign(outcome.journal, page),
      ];
    case 'refused':
      return refusal(outcome.problems, page);
    case 'rolledBack':
      return rolledBack(outcome.journal, outcome.problem, page);
    case 'broken':
      return broken(outcome.journal, outcome.problem, page);
    default:
      return unreachable(outcome);
  }
}

function achieved({ plan }: Journal): string {
  const { added, removed } = plan.entries;
  const parts = [
    ...(added.length === 0 ? [] : [`the kubelet now allows ${added.join(', ')}`]),
    ...(removed.length === 0 ? [] : [`the kubelet no longer has the entries ${removed.join(', ')}`]),
    ...(plan.sysctlWrites.length === 0
      ? []
      : [
          `${plan.sysctlWrites.map(({ name }) => name).join(', ')} ${plan.sysctlWrites.length === 1 ? 'is' : 'are'} set`,
        ]),
  ];
  if (parts.length === 0) return 'Applied.';
  return `Applied: ${parts.join('; ')}.`;
}

function recovered(recovery: RecoveryOutcome, page: Page): readonly string[] {
  switch (recovery.kind) {
    case 'nothing':
    case 'broken':
      return [];
    case 'committed':
      return wrap(
        `transaction ${recovery.journal.id} had been interrupted; it was proven and committed first`,
        page.width,
        'note  ',
      );
    case 'rolledBack':
      return wrap(
        `transaction ${recovery.journal.id} had been interrupted; it was rolled back first`,
        page.width,
        'note  ',
      );
    default:
      return unreachable(recovery);
  }
}
