import * as fc from 'fast-check';
import t from 'tap';
import { parseJournal } from '../../../agent/transaction/journal.ts';
import { journalOf, planOf } from './support/plan.ts';

const path = '/var/lib/kubelet-sysctl-agent/journal.json';
const write = (value: unknown): string => JSON.stringify(value);

void t.test('what was written is read back', async (t) => {
  for (const journal of [
    journalOf(),
    journalOf({
      state: 'broken',
      verdict: {
        kind: 'broken',
        code: 'ROLLBACK_FAILED',
        message: 'no',
        by: 'agent',
        keptForeignFiles: ['/etc/x'],
      },
    }),
    journalOf({
      kind: 'rollback',
      undoes: '1',
      baseline: undefined,
      plan: planOf({ files: [], restart: false, reload: false, expectation: undefined }),
    }),
  ]) {
    const parsed = parseJournal(write(journal), path);
    t.ok(parsed.ok);
    if (parsed.ok) t.equal(write(parsed.journal), write(journal));
  }
});

void t.test('a journal that was cut off anywhere is unreadable, and the file is named', async (t) => {
  const text = write(journalOf());
  for (let length = 0; length < text.length; length += 1) {
    const parsed = parseJournal(text.slice(0, length), path);
    if (
      parsed.ok ||
      parsed.problem.code !== 'JOURNAL_UNREADABLE' ||
      parsed.problem.where?.file !== path ||
      parsed.problem.next === undefined
    ) {
      t.fail(`${length} bytes were taken for a journal`);
    }
  }
});

void t.test('garbage is unreadable, and never an exception', async () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => !parseJournal(text, path).ok));
});

void t.test('a journal of another version of the agent is not guessed at', async (t) => {
  for (const schema of [0, 2, '1', null]) {
    t.match(parseJournal(write({ ...journalOf(), schema }), path), {
      ok: false,
      problem: { message: /another version/ },
    });
  }
});

void t.test('what recovery relies on must be there and be of its kind', async (t) => {
  const broken: Record<string, unknown>[] = [
    { id: '../../etc' },
    { id: '' },
    { kind: 'repair' },
    { state: 'done' },
    { startedAtMs: 'now' },
    { bootId: null },
    { watchdogAfterMs: null },
    { plan: null },
    { plan: {} },
    { plan: { ...planOf(), files: null } },
    { plan: { ...planOf(), unit: undefined } },
    { plan: { ...planOf(), restart: 'yes' } },
    { baseline: null },
    { verdict: 'fine' },
  ];
  for (const field of broken) {
    const [name = ''] = Object.keys(field);
    const parsed = parseJournal(write({ ...journalOf(), ...field }), path);
    t.match(
      parsed,
      { ok: false, problem: { code: 'JOURNAL_UNREADABLE', message: new RegExp(`without a usable ${name}`) } },
      write(field),
    );
  }
});
