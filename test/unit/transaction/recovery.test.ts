import t from 'tap';
import type { Token } from '../../../agent/transaction/journal.ts';
import { recover, type Recovery, type Remains } from '../../../agent/transaction/recovery.ts';
import { isOpen, transactionStates } from '../../../agent/transaction/steps.ts';

const allTokens: readonly Token[] = ['none', 'armed', 'committed', 'fired', 'reverting', 'restored'];
const decisions: readonly Recovery[] = [
  'nothing',
  'closeCommitted',
  'closeRolledBack',
  'resumeProbation',
  'rollBack',
];
const yesAndNo = [true, false];

/** Every combination there is. */
const all: readonly Remains[] = transactionStates.flatMap((state) =>
  allTokens.flatMap((token) =>
    (['after', 'before', 'other'] as const).flatMap((files) =>
      yesAndNo.flatMap((restartPlanned) =>
        yesAndNo.flatMap((kubeletRestarted) =>
          yesAndNo.map((sameBoot) => ({ state, token, files, restartPlanned, kubeletRestarted, sameBoot })),
        ),
      ),
    ),
  ),
);

void t.test('every combination is decided', async (t) => {
  t.strictSame(
    all.filter((remains) => !decisions.includes(recover(remains))),
    [],
  );
});

void t.test('an open transaction is never left as it is', async (t) => {
  t.strictSame(
    all.filter((remains) => isOpen(remains.state) && recover(remains) === 'nothing'),
    [],
  );
});

void t.test(
  'a probation is resumed only with the new files, a kubelet that was restarted, no other boot, and a token that still waits',
  async (t) => {
    const resumed = all.filter((remains) => recover(remains) === 'resumeProbation');
    t.ok(resumed.length > 0);
    t.strictSame(
      resumed.filter(
        ({ token, files, restartPlanned, kubeletRestarted, sameBoot }) =>
          token !== 'armed' || files !== 'after' || !restartPlanned || !kubeletRestarted || !sameBoot,
      ),
      [],
    );
  },
);

void t.test('nothing is called committed unless the token says so', async (t) => {
  t.strictSame(
    all.filter((remains) => recover(remains) === 'closeCommitted' && remains.token !== 'committed'),
    [],
  );
});

void t.test('a watchdog that fired, or a roll-back that began, is always finished backwards', async (t) => {
  t.strictSame(
    all
      .filter(({ token }) => token === 'fired' || token === 'reverting')
      .filter((remains) => recover(remains) !== 'rollBack'),
    [],
  );
});

void t.test(
  'a transaction that was decided but not written down is written down as it was decided',
  async (t) => {
    const remains: Remains = {
      state: 'kubeletProven',
      token: 'committed',
      files: 'after',
      restartPlanned: true,
      kubeletRestarted: true,
      sameBoot: true,
    };
    t.equal(recover(remains), 'closeCommitted');
    t.equal(recover({ ...remains, token: 'restored' }), 'closeRolledBack');
    t.equal(recover({ ...remains, state: 'committed' }), 'nothing');
    t.equal(recover({ ...remains, token: 'restored', state: 'rolledBack' }), 'nothing');
  },
);
