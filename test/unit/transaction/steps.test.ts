import * as fc from 'fast-check';
import t from 'tap';
import {
  applySteps,
  filesMayBeReplaced,
  isOpen,
  stateAfter,
  stepsOf,
  transactionStates,
} from '../../../agent/transaction/steps.ts';

const shape = (
  files: number,
  sysctls: number,
  reload: boolean,
  restart: boolean,
): Parameters<typeof stepsOf>[0] => ({
  files: Array.from({ length: files }),
  sysctlWrites: Array.from({ length: sysctls }),
  reload,
  restart,
});

void t.test('each shape of a plan has its steps', async (t) => {
  t.strictSame(
    stepsOf(shape(1, 0, true, true)),
    ['stage', 'arm', 'writeFiles', 'reload', 'prove', 'restart', 'observe', 'commit'],
    'a unit',
  );
  t.strictSame(
    stepsOf(shape(1, 0, false, true)),
    ['stage', 'arm', 'writeFiles', 'prove', 'restart', 'observe', 'commit'],
    'an environment file',
  );
  t.strictSame(
    stepsOf(shape(1, 1, false, false)),
    ['stage', 'writeSysctls', 'writeFiles', 'commit'],
    'a sysctl and its file',
  );
  t.strictSame(stepsOf(shape(0, 1, false, false)), ['stage', 'writeSysctls', 'commit'], 'a sysctl alone');
  t.strictSame(stepsOf(shape(2, 1, true, true)), applySteps, 'everything');
});

void t.test(
  'whatever the plan, its steps are in order, begin with the stage and end with the commit',
  async () => {
    fc.assert(
      fc.property(fc.nat(2), fc.nat(2), fc.boolean(), fc.boolean(), (files, sysctls, reload, restart) => {
        const steps = stepsOf(shape(files, sysctls, reload, restart));
        const places = steps.map((step) => applySteps.indexOf(step));
        return (
          places.every((place, index) => index === 0 || place > (places[index - 1] ?? -1)) &&
          steps[0] === 'stage' &&
          steps.at(-1) === 'commit' &&
          // No restart that nobody watches over, and neither a reload nor a restart that nobody proves.
          steps.includes('restart') === steps.includes('arm') &&
          steps.includes('restart') === steps.includes('observe') &&
          (steps.includes('reload') || steps.includes('restart')) === steps.includes('prove')
        );
      }),
    );
  },
);

void t.test(
  'files may be replaced from the moment when they were written until the transaction is over',
  async (t) => {
    t.strictSame(
      transactionStates.filter((state) => !filesMayBeReplaced(state)),
      ['staged', 'armed', 'sysctlsWritten'],
    );
  },
);

void t.test('a transaction is open until it has a verdict that leaves nothing to do', async (t) => {
  t.strictSame(
    transactionStates.filter((state) => !isOpen(state)),
    ['committed', 'rolledBack'],
  );
  t.ok(isOpen('broken'), 'a broken one waits for a person');
});

void t.test('each step leaves a state of its own', async (t) => {
  t.equal(new Set(Object.values(stateAfter)).size, applySteps.length);
});
