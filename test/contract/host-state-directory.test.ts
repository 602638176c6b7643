import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { stateDirectoryPath } from '../../agent/host/private-files.ts';
import { hostStateDirectory, type StateDirectory } from '../../agent/host/state-directory.ts';
import type { AuditLine, Journal, Token } from '../../agent/transaction/journal.ts';
import { journalOf } from '../unit/transaction/support/plan.ts';

const tier = { skip: process.getuid?.() === 0 ? false : 'needs root: the state directory belongs to root' };
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
type Identity = Parameters<typeof hostStateDirectory>[1];

function emptyRoot(t: Test): string {
  const root = realpathSync(mkdtempSync(path.join(memory, 'ksa-state-')));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

const me: Identity = { pid: 1, bootId: 'b', startTicks: '1', isAlive: () => true };

async function open(root: string, identity: Partial<Identity> = {}): Promise<StateDirectory> {
  return hostStateDirectory(root, { ...me, ...identity });
}

const inside = (root: string, ...parts: string[]): string => path.join(root, stateDirectoryPath, ...parts);
const verdict = {
  kind: 'committed',
  code: undefined,
  message: 'm',
  by: 'agent',
  keptForeignFiles: [],
} as const;
const closed = (id: string, fields: Partial<Journal> = {}): Journal =>
  journalOf({ id, state: 'committed', verdict, ...fields });

void t.test('it is made for its owner alone', tier, async (t) => {
  const root = emptyRoot(t);
  await open(root);
  t.equal(statSync(inside(root)).mode & 0o777, 0o700);
  t.equal(statSync(inside(root, 'backup')).mode & 0o777, 0o700);
  await open(root);
});

void t.test('one that anybody else could have written is refused, and left as it is', tier, async (t) => {
  const spoil: Record<string, (directory: string) => void> = {
    'writable by all': (directory) => {
      mkdirSync(directory);
      chmodSync(directory, 0o777);
    },
    'writable by a group': (directory) => {
      mkdirSync(directory);
      chmodSync(directory, 0o770);
    },
    'of another owner': (directory) => {
      mkdirSync(directory, { mode: 0o700 });
      chownSync(directory, 1000, 1000);
    },
    'a link': (directory) => {
      mkdirSync(`${directory}.real`, { mode: 0o700 });
      symlinkSync(`${directory}.real`, directory);
    },
    'a dangling link': (directory) => symlinkSync('/nowhere', directory),
    'a file': (directory) => writeFileSync(directory, ''),
    'in a directory for everybody': (directory) => {
      mkdirSync(directory, { mode: 0o700 });
      chmodSync(path.dirname(directory), 0o777);
    },
  };
  for (const [what, make] of Object.entries(spoil)) {
    const root = emptyRoot(t);
    mkdirSync(path.dirname(inside(root)), { recursive: true });
    make(inside(root));
    await t.rejects(open(root), { code: 'STATE_DIRECTORY_UNSAFE' }, what);
  }
});

void t.test('a link above it is followed below the root only', tier, async (t) => {
  const root = emptyRoot(t);
  mkdirSync(path.join(root, 'mnt/state'), { recursive: true });
  mkdirSync(path.join(root, 'var'));
  symlinkSync('/mnt/state', path.join(root, 'var/lib'));
  await open(root);
  t.ok(existsSync(path.join(root, 'mnt/state/kubelet-sysctl-agent')));
});

void t.test(
  'a journal is read back as it was written, and the copy beside the backups is the same',
  tier,
  async (t) => {
    const root = emptyRoot(t);
    const state = await open(root);
    t.equal(await state.readJournal(), undefined);
    const journal = journalOf();
    await state.writeJournal(journal);
    t.strictSame(await state.readJournal(), JSON.parse(JSON.stringify(journal)));
    t.equal(
      readFileSync(inside(root, 'journal.json'), 'utf8'),
      readFileSync(inside(root, 'backup', journal.id, 'journal.json'), 'utf8'),
    );
  },
);

void t.test('a journal that was cut off is unreadable, not absent', tier, async (t) => {
  const root = emptyRoot(t);
  const state = await open(root);
  await state.writeJournal(journalOf());
  const text = readFileSync(inside(root, 'journal.json'), 'utf8');
  for (const torn of ['', text.slice(0, text.length / 2), text.replace('"schema": 1', '"schema": 9')]) {
    writeFileSync(inside(root, 'journal.json'), torn);
    await t.rejects(state.readJournal(), { code: 'JOURNAL_UNREADABLE' });
  }
});

void t.test('history is newest first and leaves out what is open or unreadable', tier, async (t) => {
  const root = emptyRoot(t);
  const state = await open(root);
  t.strictSame(await state.history(), []);
  await state.writeJournal(closed('a', { startedAtMs: 1 }));
  await state.writeJournal(closed('c', { startedAtMs: 3 }));
  await state.writeJournal(closed('b', { startedAtMs: 2 }));
  await state.writeJournal(closed('b2', { startedAtMs: 2 }));
  await state.writeJournal(journalOf({ id: 'open', startedAtMs: 9 }));
  mkdirSync(inside(root, 'backup', 'torn'));
  writeFileSync(inside(root, 'backup', 'torn', 'journal.json'), '{');
  t.strictSame(
    (await state.history()).map(({ id }) => id),
    ['c', 'b2', 'b', 'a'],
  );
});

void t.test('a backup keeps bytes, mode, owner and time', tier, async (t) => {
  const root = emptyRoot(t);
  const state = await open(root);
  const text = '\uFEFF[Unit]\r\nDescription=Grüße\r\n\n\n';
  await state.saveBackup('id', '0', text, { mode: 0o640, uid: 12, gid: 34, mtimeMs: 1_600_000_000_000 });
  t.equal(await state.readBackup('id', '0'), text);
  const info = statSync(inside(root, 'backup/id/0'));
  t.strictSame([info.mode & 0o777, info.uid, info.gid, info.mtimeMs], [0o640, 12, 34, 1_600_000_000_000]);
  t.equal(await state.readBackup('id', '1'), undefined);
});

void t.test('names that leave the directory are refused', tier, async (t) => {
  const state = await open(emptyRoot(t));
  for (const name of ['..', '../x', 'a/b', '', '.hidden', 'a\0b']) {
    t.throws(() => state.backupPath(name), { code: 'INTERNAL' });
  }
});

void t.test('of fifty that claim a token at the same time one wins', tier, async (t) => {
  const state = await open(emptyRoot(t));
  for (let round = 0; round < 5; round += 1) {
    await state.saveBackup(`id${round}`, '0', '', { mode: 0o600, uid: 0, gid: 0 });
    await state.arm(`id${round}`);
    const wanted = Array.from({ length: 50 }, (_, index): Token => (index % 2 === 0 ? 'committed' : 'fired'));
    const won = await Promise.all(wanted.map(async (to) => state.claim(`id${round}`, 'armed', to)));
    t.equal(won.filter(Boolean).length, 1);
    t.equal(await state.token(`id${round}`), wanted[won.indexOf(true)]);
  }
});

void t.test('a token that was never made is none, and cannot be claimed', tier, async (t) => {
  const state = await open(emptyRoot(t));
  t.equal(await state.token('id'), 'none');
  t.equal(await state.claim('id', 'armed', 'committed'), false);
});

void t.test('old transactions are forgotten, undecided and current ones never', tier, async (t) => {
  const root = emptyRoot(t);
  const state = await open(root);
  for (const [id, token] of [
    ['2026a', 'armed'],
    ['2026b', 'fired'],
    ['2026c', 'reverting'],
    ['2026d', 'committed'],
    ['2026e', 'restored'],
    ['2026f', 'committed'],
    ['2026g', 'committed'],
  ] as const) {
    await state.writeJournal(closed(id));
    writeFileSync(inside(root, 'backup', id, token), '');
  }
  // The clock was set back: the transaction of this moment looks like the oldest.
  await state.writeJournal(closed('1999'));
  await state.prune(2);
  t.strictSame(readdirSync(inside(root, 'backup')).toSorted(), [
    '1999',
    '2026a',
    '2026b',
    '2026c',
    '2026f',
    '2026g',
  ]);
});

void t.test(
  'the audit file only grows, and a line that was cut off does not spoil the next',
  tier,
  async (t) => {
    const root = emptyRoot(t);
    const state = await open(root);
    const line = { id: '1', message: 'a\nb' } as AuditLine;
    await state.audit(line);
    await state.audit({ ...line, id: '2' });
    const file = inside(root, 'audit.jsonl');
    t.equal(readFileSync(file, 'utf8'), '{"id":"1","message":"a\\nb"}\n{"id":"2","message":"a\\nb"}\n');
    writeFileSync(file, '{"id":"1"}\n{"id":"2","mess');
    await state.audit({ ...line, id: '3' });
    t.equal(readFileSync(file, 'utf8'), '{"id":"1"}\n{"id":"2","mess\n{"id":"3","message":"a\\nb"}\n');
  },
);

void t.test('a latch is kept until it is taken away; one that cannot be read is none', tier, async (t) => {
  const root = emptyRoot(t);
  const state = await open(root);
  const latch = { planHash: 'h', code: 'KUBELET_EXITED', message: 'm', sinceMs: 1, transaction: 'T' };
  t.equal(await state.readLatch(), undefined);
  await state.writeLatch(latch);
  t.strictSame(await state.readLatch(), latch);
  for (const broken of [
    '',
    '{',
    'null',
    '{}',
    '{"planHash":"h"}',
    '{"planHash":"h","message":"m","sinceMs":"now"}',
  ]) {
    writeFileSync(inside(root, 'latch.json'), broken);
    t.equal(await state.readLatch(), undefined, broken);
  }
  await state.writeLatch(undefined);
  await state.writeLatch(undefined);
  t.notOk(existsSync(inside(root, 'latch.json')));
});

void t.test('a lock keeps the second one out and names the first', tier, async (t) => {
  const root = emptyRoot(t);
  const first = await open(root, { pid: 11, startTicks: '5' });
  const second = await open(root, { pid: 22, startTicks: '6' });
  const lock = await first.lock();
  await t.rejects(second.lock(), { code: 'TRANSACTION_RUNNING', message: /PID 11/ });
  await lock.release();
  await (await second.lock()).release();
  t.strictSame(
    readdirSync(inside(root)).filter((name) => name.startsWith('lock')),
    [],
  );
});

void t.test('a lock whose holder is gone is taken over', tier, async (t) => {
  const root = emptyRoot(t);
  const next = await open(root, {
    pid: 22,
    startTicks: '6',
    isAlive: (pid, startTicks) => pid === 11 && startTicks === '5',
  });
  const stale: Record<string, string> = {
    'a process that ended': JSON.stringify({ pid: 12, bootId: 'b', startTicks: '5' }),
    'another process with the same number': JSON.stringify({ pid: 11, bootId: 'b', startTicks: '9' }),
    'another boot': JSON.stringify({ pid: 11, bootId: 'a', startTicks: '5' }),
    'cut off by a power failure': '{"pid":1',
    empty: '',
    'no holder at all': '[]',
  };
  for (const [what, text] of Object.entries(stale)) {
    writeFileSync(inside(root, 'lock'), text);
    const lock = await next.lock();
    t.match(readFileSync(inside(root, 'lock'), 'utf8'), /"pid":22/, what);
    await lock.release();
  }
});

void t.test('of many that find a stale lock, never two hold it at the same time', tier, async (t) => {
  const root = emptyRoot(t);
  const states = await Promise.all(
    Array.from({ length: 12 }, async (_, index) =>
      open(root, { pid: 100 + index, isAlive: (pid) => pid >= 100 }),
    ),
  );
  let most = 0;
  let took = 0;
  for (let round = 0; round < 250; round += 1) {
    writeFileSync(inside(root, 'lock'), JSON.stringify({ pid: 7, bootId: 'b', startTicks: `${round}` }));
    let holders = 0;
    await Promise.all(
      states.map(async (state) => {
        const lock = await state.lock().catch(() => undefined);
        if (lock === undefined) return;
        holders += 1;
        took += 1;
        most = Math.max(most, holders);
        for (let turns = 0; turns < round % 7; turns += 1)
          await new Promise((resolve) => setImmediate(resolve));
        holders -= 1;
        await lock.release();
      }),
    );
  }
  t.equal(most, 1);
  t.ok(took >= 250, 'and in every round somebody gets it');
  t.strictSame(
    readdirSync(inside(root)).filter((name) => name.startsWith('lock')),
    [],
  );
});

void t.test('a lock is not released by somebody who does not hold it', tier, async (t) => {
  const root = emptyRoot(t);
  const first = await open(root, { pid: 11 });
  const lock = await first.lock();
  const other = JSON.stringify({ pid: 33, bootId: 'b', startTicks: '1' });
  writeFileSync(inside(root, 'lock'), other);
  await lock.release();
  t.equal(readFileSync(inside(root, 'lock'), 'utf8'), other);
});
