import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readState } from '../../../agent/host/state-reader.ts';
import type { Journal } from '../../../agent/transaction/journal.ts';
import { journalOf } from '../transaction/support/plan.ts';

const directory = 'var/lib/kubelet-sysctl-agent';
const journal = (
  id: string,
  startedAtMs: number,
  state: Journal['state'],
  verdict?: { kind: 'committed' },
): string => JSON.stringify({ ...journalOf({ id, startedAtMs, state }), verdict });

void t.test(
  'a node without a state directory has no history, and gets no directory by being asked',
  async (t) => {
    const root = t.testdir();
    t.strictSame(await readState(root), {
      open: undefined,
      token: 'none',
      history: [],
      latch: undefined,
      problems: [],
    });
    t.strictSame(readdirSync(root), []);
  },
);

void t.test('closed transactions come newest first, the open one with its token', async (t) => {
  const root = t.testdir();
  for (const [id, at] of [
    ['a', 1],
    ['c', 3],
    ['b', 2],
  ] as const) {
    mkdirSync(join(root, directory, 'backup', id), { recursive: true });
    writeFileSync(
      join(root, directory, 'backup', id, 'journal.json'),
      journal(id, at, 'committed', { kind: 'committed' }),
    );
  }
  mkdirSync(join(root, directory, 'backup/d'));
  writeFileSync(join(root, directory, 'backup/d/journal.json'), journal('d', 4, 'filesWritten'));
  writeFileSync(join(root, directory, 'backup/d/armed'), '');
  writeFileSync(join(root, directory, 'journal.json'), journal('d', 4, 'filesWritten'));
  writeFileSync(
    join(root, directory, 'latch.json'),
    JSON.stringify({ planHash: 'x', code: 'KUBELET_EXITED', message: 'm', sinceMs: 1, transaction: 'T' }),
  );
  const state = await readState(root);
  t.match(state, { open: { id: 'd' }, token: 'armed', latch: { planHash: 'x' }, problems: [] });
  t.strictSame(
    state.history.map(({ id }) => id),
    ['c', 'b', 'a'],
  );
});

void t.test('a journal that was cut off is a problem and hides nothing else', async (t) => {
  const root = t.testdir();
  mkdirSync(join(root, directory, 'backup/a'), { recursive: true });
  writeFileSync(
    join(root, directory, 'backup/a/journal.json'),
    journal('a', 1, 'committed', { kind: 'committed' }),
  );
  writeFileSync(join(root, directory, 'journal.json'), '{"schema": 1, "id": "b"');
  const state = await readState(root);
  t.strictSame(
    state.history.map(({ id }) => id),
    ['a'],
  );
  t.strictSame(
    state.problems.map(({ code }) => code),
    ['JOURNAL_UNREADABLE'],
  );
});
