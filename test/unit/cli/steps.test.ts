import t from 'tap';
import { openProgress } from '../../../agent/cli/progress.ts';
import { stepText } from '../../../agent/cli/steps.ts';
import type { CliContext, Sink } from '../../../agent/cli/context.ts';
import type { TransactionEvent } from '../../../agent/engine/ports.ts';
import { applySteps, rollbackSteps } from '../../../agent/transaction/steps.ts';
import { keepingSink } from '../../support/cli/context.ts';

const events: readonly TransactionEvent[] = [
  {
    kind: 'waiting',
    forMs: 9_200,
    why: 'the kubelet was started a moment ago; another start now could hit its start limit',
  },
  { kind: 'stepStarted', step: 'stage' },
  { kind: 'stepFinished', step: 'stage', tookMs: 12.4 },
  { kind: 'stepStarted', step: 'reload' },
  { kind: 'stepFailed', step: 'reload', code: 'RELOAD_FAILED', message: 'no answer\u001b[2J' },
];

/** The sinks are all of the context that a progress looks at. */
function context(stdout: Sink, stderr: Sink): CliContext {
  return { stdout, stderr } as CliContext;
}

async function told(
  stdout: Sink & { text(): string },
  output: 'text' | 'json',
  logLevel: 'error' | 'info',
): Promise<{ stderr: string; steps: unknown; began: boolean }> {
  const stderr = keepingSink();
  const progress = await openProgress(context(stdout, stderr), { output, logLevel });
  t.equal(progress.began, false);
  for (const event of events) await progress.report(event);
  return { stderr: stderr.text(), steps: progress.steps, began: progress.began };
}

void t.test('every step of a transaction has words that fit a line with its time', (t) => {
  for (const step of [...applySteps, ...rollbackSteps]) t.ok(stepText[step].length <= 50, step);
  t.end();
});

void t.test('without a terminal each step leaves one plain line when it ends', async (t) => {
  const stdout = keepingSink();
  const { stderr, steps, began } = await told(stdout, 'text', 'error');
  t.equal(
    stdout.text(),
    `  wait 9.2 s: the kubelet was started a moment ago; another start now could hit
       its start limit
  ok   keep the old files and open the journal                             12 ms
  fail reload systemd: RELOAD_FAILED
       no answer\\x1b[2J
`,
  );
  t.equal(stderr, '');
  t.equal(began, true);
  t.strictSame(steps, [
    { step: 'stage', tookMs: 12, code: null, message: null },
    { step: 'reload', tookMs: null, code: 'RELOAD_FAILED', message: 'no answer\u001b[2J' },
  ]);
});

void t.test('on a terminal the line of a running step is written anew when it ends', async (t) => {
  const stdout = keepingSink({ isTerminal: true });
  await told(stdout, 'text', 'error');
  t.match(stdout.text(), '  ..   reload systemd\r\u001b[K  fail reload systemd: RELOAD_FAILED\n');
  t.ok(stdout.text().endsWith('\n'), 'no line is left open');
});

void t.test('with colours the times still stand at the edge', async (t) => {
  const stdout = keepingSink({ colour: true });
  await told(stdout, 'text', 'error');
  // oxlint-disable-next-line no-control-regex -- colours are looked for
  const plain = stdout.text().replaceAll(/\u001b\[\d+m/g, '');
  t.ok(plain.split('\n').some((line) => line.startsWith('  ok') && line.length === 80));
});

void t.test('with JSON output the steps go to the log alone', async (t) => {
  const stdout = keepingSink({ isTerminal: true });
  const { stderr } = await told(stdout, 'json', 'info');
  t.equal(stdout.text(), '');
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(lines, [
    { level: 'info', event: 'waiting', forMs: 9200 },
    { level: 'info', event: 'stepFinished', step: 'stage', tookMs: 12 },
    { level: 'warn', event: 'stepFailed', step: 'reload', code: 'RELOAD_FAILED' },
  ]);
  t.equal(lines.length, 3);
});
