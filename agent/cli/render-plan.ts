import type { Planned } from '../engine/apply.ts';
import { type Problem, unreachable } from '../errors.ts';
import type { EntryChange, Notes, Plan, SysctlFinding } from '../plan/plan.ts';
import { chosenLines, placementLines } from './render-placements.ts';
import { renderProblem } from './render-problem.ts';
import { duration, type Page, paint, visible, wrap } from './text.ts';
import { unifiedDiff } from './unified-diff.ts';

export interface PlanView {
  readonly nodeName: string;
  readonly planned: Planned;
  readonly policies: readonly string[];
  /** Policies that are meant for other nodes. */
  readonly others: readonly string[];
  /** What speaks against an apply although the plan itself is good, such as a latch. */
  readonly obstacles: readonly Problem[];
}

/** The whole plan for a person: what would change and why, then the difference of each file. */
export function renderPlan(view: PlanView, page: Page): readonly string[] {
  const { outcome } = view.planned;
  const plan = outcome.kind === 'change' ? outcome.plan : undefined;
  const entries = outcome.kind === 'change' ? outcome.plan.entries : outcome.entries;
  return sections([
    header(view, plan, page),
    entryLines(entries, page),
    sysctlLines(plan, outcome.notes, page),
    podLines(plan, page),
    placementLines(outcome.notes, view.planned.observed.mode === 'running', page),
    outcome.kind === 'refused'
      ? outcome.problems.flatMap((problem) => renderProblem(problem, 'refused', page))
      : [],
    [...view.obstacles, ...outcome.notes.warnings].flatMap((problem) =>
      renderProblem(problem, 'warning', page),
    ),
    [...new Set(outcome.notes.hints)].flatMap((hint) =>
      wrap(hint, page.width, 'hint  ').map((line) => paint(page, 'dim', line)),
    ),
    ...(plan?.files ?? []).map((file) =>
      renderDiff(unifiedDiff(file.path, file.before?.text ?? null, file.after), page),
    ),
    conclusion(view, page),
  ]);
}

/** What is in force and what becomes of it. Empty where no allowlist was looked at. */
export function entryLines(entries: EntryChange | undefined, page: Page): readonly string[] {
  if (entries === undefined || entries.after.length + entries.removed.length === 0) return [];
  return [
    paint(page, 'bold', 'allowed unsafe sysctls'),
    ...entries.kept.map((entry) => `    ${visible(entry)}`),
    ...entries.removed.map((entry) => paint(page, 'red', `  - ${visible(entry)}`)),
    ...entries.added.map((entry) => paint(page, 'green', `  + ${visible(entry)}`)),
  ];
}

/** A diff in the usual colours. Its lines are never wrapped: they are what `patch` reads. */
export function renderDiff(diff: readonly string[], page: Page): readonly string[] {
  return diff.map((raw, index) => {
    const line = visible(raw);
    if (index < 2) return paint(page, 'bold', line);
    if (line.startsWith('@@')) return paint(page, 'cyan', line);
    if (line.startsWith('+')) return paint(page, 'green', line);
    return line.startsWith('-') ? paint(page, 'red', line) : line;
  });
}

/** The head of everything that is said of an image. */
export function imageLines(root: string, page: Page): readonly string[] {
  return [
    ...wrap(root, page.width, 'image      '),
    '           nothing runs there; only its files are looked at',
  ];
}

/** Sections with a blank line between them; empty ones vanish. */
export function sections(parts: readonly (readonly string[])[]): readonly string[] {
  return parts
    .filter((part) => part.length > 0)
    .flatMap((part, index) => (index === 0 ? part : ['', ...part]));
}

/** One line, in words that need no manual: `drifted  vm.swappiness  is 60, must be 10`. */
export function findingLine(finding: SysctlFinding, page: Page): readonly string[] {
  const name = visible(finding.name);
  switch (finding.state) {
    case 'met':
      return wrap(`is ${shown(finding.found)}, as wanted`, page.width, `    ${name}  `, '        ');
    case 'drifted':
      return wrap(
        `is ${shown(finding.found)}, must be ${finding.expected}${finding.remediation === 'Report' ? ' (reported, not written)' : ''}`,
        page.width,
        `  ! ${name}  `,
        '        ',
      );
    case 'unknown':
      return wrap(
        `is unknown: ${finding.reason ?? 'not read'}; must be ${finding.expected}`,
        page.width,
        `  ? ${name}  `,
        '        ',
      );
    default:
      return unreachable(finding.state);
  }
}

function header(view: PlanView, plan: Plan | undefined, page: Page): readonly string[] {
  const { observed } = view.planned;
  const versions = [
    observed.kubeletVersion === undefined
      ? 'kubelet of unknown version'
      : `kubelet ${observed.kubeletVersion}`,
    ...(observed.systemdVersion === undefined ? [] : [`systemd ${observed.systemdVersion}`]),
    ...(observed.kernelRelease === undefined ? [] : [`kernel ${observed.kernelRelease}`]),
  ].join(', ');
  const oneLine = `${view.nodeName} (${versions})`;
  return [
    ...(observed.mode === 'image'
      ? imageLines(observed.root, page)
      : 'node       '.length + oneLine.length <= page.width
        ? wrap(oneLine, page.width, 'node       ')
        : [...wrap(view.nodeName, page.width, 'node       '), ...wrap(versions, page.width, '           ')]),
    ...wrap(observed.unit?.id ?? observed.unitName, page.width, 'unit       '),
    ...wrap(
      view.policies.length === 0 ? 'none that is meant for this node' : view.policies.join(', '),
      page.width,
      'policy     ',
    ),
    ...(view.others.length === 0
      ? []
      : wrap(`${view.others.join(', ')} (for other nodes)`, page.width, '           ')),
    ...chosenLines(plan?.placement, view.planned.outcome.notes, page),
  ];
}

function sysctlLines(plan: Plan | undefined, notes: Notes, page: Page): readonly string[] {
  const writes = plan?.sysctlWrites ?? [];
  const written = new Set(writes.map(({ name }) => name));
  const findings = notes.sysctls.filter(({ name }) => !written.has(name));
  if (writes.length + findings.length === 0) return [];
  return [
    paint(page, 'bold', 'sysctls of the node'),
    ...writes.flatMap((write) =>
      wrap(
        `${shown(write.before)} becomes ${shown(write.value)}`,
        page.width,
        `  + ${visible(write.name)}  `,
        '        ',
      ).map((line) => paint(page, 'green', line)),
    ),
    ...findings.flatMap((finding) => findingLine(finding, page)),
  ];
}

function podLines(plan: Plan | undefined, page: Page): readonly string[] {
  if (plan === undefined || plan.podsAtRisk.length === 0) return [];
  return [
    paint(page, 'bold', 'running pods that the kubelet would kill'),
    ...plan.podsAtRisk.flatMap((pod) =>
      wrap(`${pod.namespace}/${pod.name} uses ${pod.sysctls.join(', ')}`, page.width, '  ! ').map((line) =>
        paint(page, 'red', line),
      ),
    ),
  ];
}

function conclusion(view: PlanView, page: Page): readonly string[] {
  const { outcome, observed } = view.planned;
  switch (outcome.kind) {
    case 'converged':
      return [paint(page, 'green', 'Nothing to do: the node is as the policy wants it.')];
    case 'refused':
      return wrap('apply would refuse this and touch nothing.', page.width);
    case 'change':
      if (observed.mode === 'image')
        return wrap(
          'apply would write the files below the root; nothing runs there that could be restarted.',
          page.width,
        );
      return [...consequences(outcome.plan, page), 'There are changes; apply carries them out.'];
    default:
      return unreachable(outcome);
  }
}

function consequences(plan: Plan, page: Page): readonly string[] {
  const restart = plan.restart
    ? `yes, once; then the kubelet has to prove itself for ${duration(plan.probationMs)}`
    : 'no';
  return [
    ...wrap(plan.reload ? 'yes, of all units of the node' : 'no', page.width, 'reload     '),
    ...wrap(restart, page.width, 'restart    '),
  ];
}

function shown(value: string | undefined): string {
  return value === undefined ? 'unknown' : value === '' ? 'empty' : value.replaceAll('\t', ' ');
}
