import { isCovered } from '../kubelet/allowlist.ts';
import type { Fleet, FleetNode } from '../cluster/fleet.ts';
import { duration, type Page, paint, type Tone, visible, wrap } from './text.ts';

/** The fleet for a person: one row a node, then who is at risk, who stops the rollout, and how far it is. */
export function renderCluster(fleet: Fleet, page: Page, nowMs: number): readonly string[] {
  if (fleet.nodes.length === 0) {
    return wrap(
      'No node reports. Is the agent installed, and are its custom resources (manifests/crds)?',
      page.width,
    );
  }
  return [...table(fleet.nodes, page, nowMs), '', ...slotLines(fleet, page, nowMs), ...summary(fleet, page)];
}

/** The last lines alone: what changes while one watches. */
export function summary(fleet: Fleet, page: Page): readonly string[] {
  const done = fleet.nodes.filter(isDone).length;
  const all = fleet.nodes.length;
  const drifted = fleet.nodes.filter(({ status }) => (status?.driftCount ?? 0) > 0).length;
  const states = new Map<string, number>();
  for (const { status } of fleet.nodes) {
    const state = status?.state ?? 'unknown';
    states.set(state, (states.get(state) ?? 0) + 1);
  }
  const counts = [...states]
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .map(([state, n]) => `${n} ${state}`);
  const text = `${done} of ${all} nodes converged`;
  return [
    `${bar(done / all, Math.min(40, page.width - text.length - 2), page)}  ${text}`,
    ...wrap(`${counts.join(', ')}; ${drifted} with drift`, page.width),
  ];
}

/** Whether every node is as its policies want it. */
export function isConverged({ nodes }: Fleet): boolean {
  return nodes.length > 0 && nodes.every(isDone);
}

/** As its policies want it. */
export function isDone({ status }: FleetNode): boolean {
  return status?.state === 'converged' && status.driftCount === 0;
}

const columns = ['NODE', 'POLICY', 'STATE', 'DRIFT', 'LAST', 'REPORTED'] as const;

function table(nodes: readonly FleetNode[], page: Page, nowMs: number): readonly string[] {
  const rows = nodes.map(({ name, status }) =>
    status === undefined
      ? [name, '', 'unknown', '', '', '']
      : [
          name,
          status.policy === '' ? '-' : status.policy,
          status.state,
          String(status.driftCount),
          status.lastTransaction?.verdict ?? '-',
          age(status.observedAt, nowMs),
        ],
  );
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...rows.map((row) => visible(row[at] ?? '').length)),
  );
  // Names may be long: policies give way first, then nodes, so that the rest stays on the line.
  for (const [at, least] of [
    [1, 8],
    [0, 12],
  ] as const) {
    const over = widths.reduce((sum, width) => sum + width + 2, -2) - page.width;
    const wide = widths[at] ?? 0;
    if (over > 0) widths[at] = Math.min(wide, Math.max(least, wide - over));
  }
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => shorten(visible(cell), widths[at] ?? 0).padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  return [
    paint(page, 'bold', line(columns)),
    ...rows.map((row, at) => paint(page, toneOf(nodes[at]), line(row))),
  ];
}

function toneOf(node: FleetNode | undefined): Tone {
  if (node?.status === undefined) return 'dim';
  if (isDone(node)) return 'green';
  return ['broken', 'halted', 'latched', 'refused', 'fighting'].includes(node.status.state)
    ? 'red'
    : 'yellow';
}

function slotLines({ nodes, slots }: Fleet, page: Page, nowMs: number): readonly string[] {
  const failed = slots.filter(({ failure }) => failure !== undefined);
  const underWay = slots.filter(({ failure }) => failure === undefined);
  const halted = nodes.filter(({ status }) => status?.slot.state === 'Halted').length;
  const forbidden = nodes.flatMap(({ name, status }) =>
    (status?.forbiddenPods ?? [])
      // What was rejected before the entry came is only a leftover.
      .filter(({ sysctl }) => !isCovered(allowedOn(status), sysctl))
      .map(({ namespace, sysctl, pods }) => ({ name, namespace, sysctl, pods })),
  );
  return [
    ...underWay.flatMap(({ holder, policy, since }) =>
      wrap(`${holder} has been at risk for policy ${policy} for ${age(since, nowMs)}`, page.width, '  > '),
    ),
    ...failed.flatMap(({ holder, policy, failure, since }) =>
      wrap(
        `${holder} failed (${failure ?? ''}) and has kept its slot of policy ${policy} for ${age(since, nowMs)}${messageOf(nodes, holder)}`,
        page.width,
        '  ! ',
      ).map((each) => paint(page, 'red', each)),
    ),
    ...(halted === 0
      ? []
      : wrap(
          `${halted} ${halted === 1 ? 'node waits' : 'nodes wait'} for that to be put right`,
          page.width,
          '  ! ',
        )),
    ...forbiddenLines(forbidden, page),
  ];
}

function forbiddenLines(
  found: readonly { name: string; namespace: string; sysctl: string; pods: number }[],
  page: Page,
): readonly string[] {
  const sums = new Map<string, { pods: number; nodes: Set<string> }>();
  for (const { name, namespace, sysctl, pods } of found) {
    const key = `of namespace ${namespace} rejected: no entry allows ${sysctl}`;
    const sum = sums.get(key) ?? { pods: 0, nodes: new Set<string>() };
    sum.nodes.add(name);
    sums.set(key, { pods: sum.pods + pods, nodes: sum.nodes });
  }
  return [...sums].flatMap(([text, { pods, nodes }]) =>
    wrap(
      `${pods} ${pods === 1 ? 'pod' : 'pods'} ${text} on ${nodes.size} ${nodes.size === 1 ? 'node' : 'nodes'}`,
      page.width,
      '  ! ',
    ).map((each) => paint(page, 'yellow', each)),
  );
}

function allowedOn(status: FleetNode['status']): readonly string[] {
  return status?.layers.find(({ layer }) => layer === 'process')?.entries ?? [];
}

function messageOf(nodes: readonly FleetNode[], name: string): string {
  const status = nodes.find((node) => node.name === name)?.status;
  // Node sysctls may have been put right since: then the last transaction is not the one that failed.
  const failed = status?.latched ?? status?.lastTransaction;
  const why =
    failed === undefined || failed.code === '' ? status?.message : `${failed.code}, ${failed.message}`;
  return why === undefined || why === '' ? '' : `: ${why}`;
}

function bar(part: number, width: number, page: Page): string {
  const room = Math.max(width, 5);
  const full = part >= 1 ? room : Math.min(Math.floor(part * room), room - 1);
  return `${paint(page, 'green', '█'.repeat(full))}${paint(page, 'dim', '░'.repeat(room - full))}`;
}

function age(stamp: string, nowMs: number): string {
  const ms = nowMs - Date.parse(stamp);
  if (!Number.isFinite(ms)) return '?';
  if (ms < 60_000) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  if (ms < 3_600_000) return duration(ms);
  const hours = Math.floor(ms / 3_600_000);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

/** Cuts in the middle: node names differ at both ends. */
function shorten(text: string, width: number): string {
  if (text.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`;
}
