import { test } from 'tap';
import type { CommandResult } from '../../agent/host/commands.ts';
import { readUnitLog } from '../../agent/host/unit-log.ts';
import { fakeCommands } from '../support/host/commands.ts';

const question = { unit: 'kubelet.service', sinceMs: 1_700_000_000_900, root: '/' };
const prints = (stdout: string, code = 0): CommandResult => ({ kind: 'exited', code, stdout, stderr: '' });

void test('the lines of the unit since then, with the start that each belongs to', async (t) => {
  const commands = fakeCommands({
    journalctl: () =>
      prints(
        [
          '{"MESSAGE":"one","_SYSTEMD_INVOCATION_ID":"a"}',
          '{"MESSAGE":[255,254],"_SYSTEMD_INVOCATION_ID":"a"}',
          '{"MESSAGE":null,"_SYSTEMD_INVOCATION_ID":"a"}',
          'not JSON',
          'null',
          '{"MESSAGE":"two"}',
          '',
        ].join('\n'),
      ),
  });
  t.strictSame(await readUnitLog(commands, question), [
    { text: 'one', invocationId: 'a' },
    { text: 'two', invocationId: '' },
  ]);
  t.match(commands.calls, [{ file: 'journalctl', options: { deadlineMs: 3_000 } }]);
  const args = commands.calls[0]?.args ?? [];
  t.ok(args.includes('_SYSTEMD_UNIT=kubelet.service'), 'what systemd says about the unit is not asked for');
  t.ok(args.includes('--since=@1700000000'));
});

void test('no journal, or one that does not answer, has no lines', async (t) => {
  const outcomes: readonly (CommandResult | 'hangs')[] = [
    'hangs',
    { kind: 'notFound' },
    { kind: 'failed', reason: 'killed by SIGSEGV' },
    prints('{"MESSAGE":"half"}', 1),
    prints(''),
  ];
  for (const outcome of outcomes) {
    t.strictSame(await readUnitLog(fakeCommands({ journalctl: () => outcome }), question), []);
  }
});

void test('the journal of an image is not read', async (t) => {
  const commands = fakeCommands({ journalctl: () => prints('{"MESSAGE":"ours"}') });
  t.strictSame(await readUnitLog(commands, { ...question, root: t.testdir({}) }), []);
  t.strictSame(commands.calls, []);
});
