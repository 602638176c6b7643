// Draws docs/rollout.svg: nodes done over time, by the simulation of test/scale, which runs the agent's own slot rules.
import { writeFile } from 'node:fs/promises';
import { type Outcome, roll, type Scenario } from '../test/scale/support/fleet.ts';

const minute = 60_000;
const shownMs = 120 * minute;
const nodes = 10_000;

const curves: readonly { readonly label: string; readonly colour: string; readonly scenario: Scenario }[] = [
  { label: '500 at a time', colour: '#0072b2', scenario: { nodes, maxUnavailable: 500 } },
  { label: '100 at a time', colour: '#009e73', scenario: { nodes, maxUnavailable: 100 } },
  {
    label: '100, API server away from minute 20 to 30',
    colour: '#e69f00',
    scenario: { nodes, maxUnavailable: 100, away: { fromMs: 20 * minute, untilMs: 30 * minute } },
  },
  {
    label: '100, raised to 200 at minute 30',
    colour: '#56b4e9',
    scenario: { nodes, maxUnavailable: 100, limits: [{ atMs: 30 * minute, maxUnavailable: 200 }] },
  },
  {
    label: '100, one node fails',
    colour: '#d55e00',
    scenario: { nodes, maxUnavailable: 100, fails: (node) => node === 4_321 },
  },
  { label: '50 at a time', colour: '#cc79a7', scenario: { nodes, maxUnavailable: 50 } },
];

const frame = { left: 70, top: 20, width: 660, height: 320 };
const x = (ms: number): number => frame.left + (frame.width * Math.min(ms, shownMs)) / shownMs;
const y = (done: number): number => frame.top + frame.height * (1 - done / nodes);

const outcomes = curves.map(({ scenario }) => roll(scenario));
await writeFile(new URL('../docs/rollout.svg', import.meta.url), svg(outcomes));
for (const [at, { label }] of curves.entries()) {
  const outcome = outcomes[at];
  if (outcome === undefined) continue;
  const ratio =
    outcome.stillWaiting > 0 ? 'halted' : `${(outcome.endedAtMs / outcome.idealMs).toFixed(3)} x ideal`;
  process.stdout.write(
    `${label}: ${outcome.doneAtMs.length} nodes in ${(outcome.endedAtMs / minute).toFixed(1)} min, ${ratio}, ` +
      `${outcome.requests.mean.toFixed(2)} requests a node (most ${outcome.requests.most})\n`,
  );
}

function svg(all: readonly Outcome[]): string {
  const lines = all.map((outcome, at) => {
    const colour = curves[at]?.colour ?? 'black';
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points(outcome)}"/>`;
  });
  const legend = curves.map(({ label, colour }, at) => {
    const top = frame.top + frame.height + 58 + 20 * Math.floor(at / 2);
    const left = frame.left + 340 * (at % 2);
    return `<path d="M${left} ${top - 4}h24" stroke="${colour}" stroke-width="3"/><text x="${left + 32}" y="${top}">${label}</text>`;
  });
  return `${[
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 460" font-family="sans-serif" font-size="13" role="img" aria-label="Nodes done over time">',
    '<rect width="760" height="460" fill="white"/>',
    ...grid(),
    ...lines,
    ...legend,
    '</svg>',
  ].join('\n')}\n`;
}

function grid(): readonly string[] {
  const rows = [0, 2_500, 5_000, 7_500, 10_000].map(
    (done) =>
      `<path d="M${frame.left} ${y(done)}h${frame.width}" stroke="#ddd"/><text x="${frame.left - 8}" y="${y(done) + 4}" text-anchor="end">${done}</text>`,
  );
  const columns = [0, 30, 60, 90, 120].map(
    (minutes) =>
      `<path d="M${x(minutes * minute)} ${frame.top}v${frame.height}" stroke="#ddd"/><text x="${x(minutes * minute)}" y="${frame.top + frame.height + 18}" text-anchor="middle">${minutes} min</text>`,
  );
  return [...rows, ...columns];
}

/** A point a minute is enough for the eye; the last one is exact. */
function points({ doneAtMs, stillWaiting }: Outcome): string {
  const found: string[] = [];
  let done = 0;
  for (let at = 0; at <= shownMs; at += minute) {
    while ((doneAtMs[done] ?? Number.POSITIVE_INFINITY) <= at) done += 1;
    found.push(`${x(at).toFixed(1)},${y(done).toFixed(1)}`);
    if (stillWaiting === 0 && done === doneAtMs.length) break;
  }
  return found.join(' ');
}
