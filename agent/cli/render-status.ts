import type { StateView } from '../host/state-reader.ts';
import type { ObservedNode } from '../plan/observed.ts';
import type { LayerDrift, SysctlDrift } from '../plan/drift.ts';
import type { Journal } from '../transaction/journal.ts';
import type { DriftItem } from './layers.ts';
import { findingLine, imageLines, sections } from './render-plan.ts';
import { renderProblem } from './render-problem.ts';
import { driftSentences } from './render-drift.ts';
import { type Page, paint, visible, wrap } from './text.ts';

export interface StatusView {
  readonly nodeName: string;
  readonly observed: ObservedNode;
  /** Undefined without a policy: then only the layers are compared with each other. */
  readonly policies: readonly string[] | undefined;
  readonly layers: readonly LayerDrift[];
  readonly items: readonly DriftItem[];
  /** What could not be seen. */
  readonly blind: readonly string[];
  readonly sysctls: readonly SysctlDrift[];
  readonly state: StateView;
  /** Undefined for an image. */
  readonly watchdogArmed: boolean | undefined;
}

const shownTransactions = 5;

/** The state of one node for a person, the verdict last. */
export function renderStatus(view: StatusView, page: Page): readonly string[] {
  return sections([
    header(view, page),
    layerTable(view.layers, page),
    sysctlLines(view, page),
    transactionLines(view, page),
    view.state.problems.flatMap((problem) => renderProblem(problem, 'error', page)),
    conclusion(view, page),
  ]);
}

function header({ observed, nodeName, policies }: StatusView, page: Page): readonly string[] {
  const { unit } = observed;
  const state =
    unit === undefined ? 'not found' : `${unit.loadState}, ${unit.activeState} (${unit.subState})`;
  const process =
    unit === undefined || unit.mainPid === 0
      ? ''
      : `, PID ${unit.mainPid}, ${unit.nRestarts} automatic restarts`;
  const versions = [observed.kubeletVersion ?? 'of unknown version', `healthz ${observed.health}`].join(', ');
  return [
    ...(observed.mode === 'image'
      ? imageLines(observed.root, page)
      : wrap(nodeName, page.width, 'node       ')),
    ...wrap(
      observed.mode === 'image'
        ? (unit?.id ?? `${observed.unitName} not found`)
        : `${unit?.id ?? observed.unitName}: ${state}${process}`,
      page.width,
      'unit       ',
    ),
    ...(observed.mode === 'image' ? [] : wrap(versions, page.width, 'kubelet    ')),
    ...(policies === undefined
      ? []
      : wrap(
          policies.length === 0 ? 'none that is meant for this node' : policies.join(', '),
          page.width,
          'policy     ',
        )),
  ];
}

/** One row an entry, one column a layer. */
function layerTable(layers: readonly LayerDrift[], page: Page): readonly string[] {
  const entries = [...new Set(layers.flatMap((layer) => (layer.kind === 'known' ? layer.entries : [])))];
  const room = Math.max(22, ...entries.map((entry) => visible(entry).length + 2));
  const cell = (layer: LayerDrift, entry: string): string =>
    layer.kind === 'unknown' ? '?' : layer.entries.includes(entry) ? 'yes' : 'no';
  const row = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(room + 2)}${cells.map((text) => text.padEnd(9)).join('')}`.trimEnd();
  const unknown = layers.flatMap((layer) =>
    layer.kind === 'unknown' ? wrap(`${layer.layer} is unknown: ${layer.reason}`, page.width, '  ? ') : [],
  );
  if (entries.length === 0) return [paint(page, 'bold', 'allowed unsafe sysctls'), '  none', ...unknown];
  return [
    paint(
      page,
      'bold',
      row(
        'allowed unsafe sysctls',
        layers.map(({ layer }) => layer),
      ),
    ),
    ...entries.map((entry) =>
      row(
        `  ${visible(entry)}`,
        layers.map((layer) => cell(layer, entry)),
      ),
    ),
    ...unknown,
  ];
}

function sysctlLines({ sysctls }: StatusView, page: Page): readonly string[] {
  if (sysctls.length === 0) return [];
  return [
    paint(page, 'bold', 'sysctls of the node'),
    ...sysctls.flatMap((finding) => {
      const { source } = finding;
      const line = findingLine(finding, page);
      return source === undefined
        ? line
        : [
            ...line,
            ...wrap(
              `${source.path} line ${source.line} sets ${source.value} at boot`,
              page.width,
              '        ',
            ),
          ];
    }),
  ];
}

function transactionLines({ state, watchdogArmed }: StatusView, page: Page): readonly string[] {
  const { open, latch, history } = state;
  return [
    paint(page, 'bold', 'transactions'),
    ...(open === undefined
      ? []
      : wrap(
          `${open.id} was begun by ${open.requestedBy} and not ended; it stands at ${open.state} (${state.token})`,
          page.width,
          '  ! ',
        ).map((line) => paint(page, 'yellow', line))),
    ...(history.length === 0
      ? ['  none yet']
      : history.slice(0, shownTransactions).flatMap((journal) => journalLines(journal, page))),
    ...(watchdogArmed === undefined
      ? []
      : [`  watchdog ${watchdogArmed ? paint(page, 'yellow', 'armed') : 'not armed'}`]),
    ...(latch === undefined
      ? []
      : wrap(
          `latched since ${stamp(latch.sinceMs)}: the change of ${latch.transaction} is not tried again (${latch.code}: ${latch.message})`,
          page.width,
          '  ! ',
        )),
  ];
}

function journalLines(journal: Journal, page: Page): readonly string[] {
  const { added, removed } = journal.plan.entries;
  const what = [
    ...added.map((entry) => `+${entry}`),
    ...removed.map((entry) => `-${entry}`),
    ...journal.plan.sysctlWrites.map(({ name, value }) => `${name}=${value}`),
  ];
  const verdict =
    journal.verdict?.code === undefined ? journal.state : `${journal.state} ${journal.verdict.code}`;
  return wrap(
    `${stamp(journal.updatedAtMs)}  ${journal.kind} ${verdict}  ${what.join(' ')}  by ${journal.requestedBy}`,
    page.width,
    '  ',
    '      ',
  );
}

function conclusion(view: StatusView, page: Page): readonly string[] {
  if (view.items.length > 0) {
    return [
      paint(page, 'red', 'There is drift.'),
      ...driftSentences(view.items).flatMap((sentence) => wrap(sentence, page.width, '  ! ')),
    ];
  }
  if (view.blind.length > 0) {
    return [
      paint(page, 'yellow', 'It cannot be told whether there is drift.'),
      ...view.blind.flatMap((reason) => wrap(reason, page.width, '  ? ')),
    ];
  }
  const text =
    view.policies === undefined
      ? 'No drift between the layers. Name a policy to compare them with it.'
      : 'No drift: the node is as the policy wants it.';
  return wrap(text, page.width).map((line) => paint(page, 'green', line));
}

function stamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}
