import * as fc from 'fast-check';
import t from 'tap';
import { readAllowlistFlag, readFlag, renderFlag } from '../../../agent/kubelet/flag.ts';

const F = '--allowed-unsafe-sysctls';
const entriesOf = (...args: string[]): readonly string[] | undefined | string => {
  const reading = readAllowlistFlag(args);
  return reading.ok ? reading.entries : reading.problem.message.replace(/^[^:]*: /, '');
};

void t.test('the flag is found in every spelling that pflag takes', (t) => {
  t.same(entriesOf(`${F}=net.a,net.b`), ['net.a', 'net.b']);
  t.same(entriesOf(F, 'net.a,net.b'), ['net.a', 'net.b']);
  t.same(entriesOf('--allowed_unsafe_sysctls=net.a'), ['net.a']);
  t.same(entriesOf('--allowed_unsafe-sysctls', 'net.a'), ['net.a']);
  t.same(entriesOf('--experimental-allowed-unsafe-sysctls=net.a'), ['net.a']);
  t.same(entriesOf('--experimental_allowed_unsafe_sysctls', 'net.a'), ['net.a']);
  t.end();
});

void t.test('absent, empty and repeated are three different things', (t) => {
  t.equal(entriesOf(), undefined);
  t.equal(entriesOf('--v=2', '--allowed-unsafe-sysctlsx=a', '--kubeconfig', '/k'), undefined);
  t.same(entriesOf(`${F}=`), []);
  t.same(entriesOf(F, ''), []);
  t.same(entriesOf(`${F}=net.a`, '--v=2', `${F}=net.b,net.a`), ['net.a', 'net.b', 'net.a']);
  t.same(entriesOf(`${F}=`, `${F}=net.b`), ['net.b']);
  t.end();
});

void t.test('each occurrence says where it stands and how it is spelled', (t) => {
  t.same(readAllowlistFlag(['--v=2', `${F}=net.a`, '--allowed_unsafe_sysctls', 'net.b,c']), {
    ok: true,
    occurrences: [
      { index: 1, words: 1, name: F, value: 'net.a', entries: ['net.a'] },
      { index: 2, words: 2, name: '--allowed_unsafe_sysctls', value: 'net.b,c', entries: ['net.b', 'c'] },
    ],
    entries: ['net.a', 'net.b', 'c'],
    experimental: false,
  });
  t.end();
});

void t.test('the space form swallows the next word even if it is a flag', (t) => {
  t.same(entriesOf(F, '--v=2'), ['--v=2']);
  t.same(entriesOf(F, F, 'net.a'), [F]);
  t.same(entriesOf(F, '--', `${F}=net.a`), ['--', 'net.a']);
  t.equal(entriesOf('--v=2', F), `flag needs an argument: ${F}`);
  t.end();
});

void t.test('the value is one CSV record: blanks and empty fields stay, quotes are syntax', (t) => {
  t.same(entriesOf(`${F}=a,,b`), ['a', '', 'b']);
  t.same(entriesOf(`${F}=a,`), ['a', '']);
  t.same(entriesOf(`${F}=,a`), ['', 'a']);
  t.same(entriesOf(`${F}=a, b`), ['a', ' b']);
  t.same(entriesOf(`${F}='net.*'`), ["'net.*'"]);
  t.same(entriesOf(`${F}="a,b"`), ['a,b']);
  t.same(entriesOf(`${F}="a",b`), ['a', 'b']);
  t.same(entriesOf(`${F}=a\nb`), ['a']);
  t.same(entriesOf(`${F}=a=b`), ['a=b']);
  t.equal(entriesOf(`${F}=a"b`), `invalid argument "a\\"b" for "${F}" flag: bare " in non-quoted field`);
  t.match(entriesOf(`${F}="a`), /extraneous or missing " in quoted-field$/);
  t.match(entriesOf(`${F}=\n`), /EOF$/);
  t.end();
});

void t.test('after -- there are no flags', (t) => {
  t.equal(entriesOf('--v=2', '--', `${F}=net.a`), undefined);
  t.same(entriesOf(`${F}=net.a`, '--', `${F}=net.b`), ['net.a']);
  t.end();
});

void t.test('a flag before it with its value, and a boolean, leave no doubt', (t) => {
  for (const before of [
    ['--kubeconfig', '/etc/kubernetes/kubelet.conf'],
    ['--kubeconfig=/etc/kubernetes/kubelet.conf'],
    ['--rotate-certificates'],
    ['--authentication_token_webhook'],
    ['--oom-score-adj', '-999'],
    ['-v', '4'],
    ['-v=4'],
    ['-v4'],
    ['$KUBELET_EXTRA_ARGS'],
    ['--unheard-of', 'value'],
    ['--unheard-of', '--runonce'],
    ['-'],
    [''],
  ]) {
    t.same(entriesOf(...before, `${F}=net.a`), ['net.a'], before.join(' '));
  }
  t.end();
});

void t.test('a word that the flag before may swallow is not read: neither found nor taken as absent', (t) => {
  const doubt = (before: string): string => `${F} may be the value of the flag before it, ${before}`;
  t.equal(entriesOf('--kubeconfig', `${F}=net.a`), doubt('--kubeconfig'));
  t.equal(entriesOf('--unheard-of', F, 'net.a'), doubt('--unheard-of'));
  t.equal(entriesOf('--unheard-of', '--kubeconfig', `${F}=net.a`), doubt('--kubeconfig'));
  t.equal(entriesOf('-v', `${F}=net.a`), doubt('-v'));
  t.equal(entriesOf('--unheard-of', '--', `${F}=net.a`), doubt('--'));
  t.end();
});

void t.test('a flag with one dash, a foreign dash or none is said, not overlooked', (t) => {
  for (const arg of [
    '-allowed-unsafe-sysctls=net.a',
    '\u2013allowed-unsafe-sysctls=net.a',
    '\u2014allowed-unsafe-sysctls',
    '\u2013-allowed-unsafe-sysctls=net.a',
    'allowed-unsafe-sysctls=net.a',
  ]) {
    t.equal(entriesOf('--v=2', arg), `${arg} does not begin with two dashes`);
  }
  t.end();
});

void t.test('both names of the flag together are a command line that no kubelet takes', (t) => {
  t.match(entriesOf(`${F}=net.a`, '--experimental-allowed-unsafe-sysctls=net.b'), /no kubelet knows both$/);
  const old = readAllowlistFlag(['--experimental-allowed-unsafe-sysctls=net.b']);
  t.equal(old.ok && old.experimental, true);
  t.end();
});

void t.test('problems carry their code and a way out', (t) => {
  const reading = readAllowlistFlag([F]);
  t.same(reading, {
    ok: false,
    problem: {
      code: 'KUBELET_FLAG_UNREADABLE',
      message: `cannot read the allowlist flag of the kubelet's command line: flag needs an argument: ${F}`,
      next: `Write ${F}=NAME,NAME.`,
    },
  });
  t.end();
});

void t.test('other flags: the last one wins, in either form and spelling', (t) => {
  t.equal(readFlag(['--config=/a', '--config', '/b'], 'config'), '/b');
  t.equal(readFlag(['--healthz_port=0'], 'healthz-port'), '0');
  t.equal(readFlag(['--healthz-port', '10249'], '--healthz-port'), '10249');
  t.equal(readFlag(['--configx=/a', '--', '--config=/b'], 'config'), undefined);
  t.equal(readFlag(['--config='], 'config'), '');
  t.equal(readFlag(['--config'], 'config'), undefined);
  t.equal(readFlag([F, '--config=/a'], 'config'), undefined);
  t.end();
});

void t.test('a boolean flag without a value is true', (t) => {
  t.equal(readFlag(['--protect-kernel-defaults', '--v=2'], 'protect-kernel-defaults'), 'true');
  t.equal(readFlag(['--protect-kernel-defaults=false'], 'protect-kernel-defaults'), 'false');
  t.equal(readFlag(['--protect-kernel-defaults', 'false'], 'protect-kernel-defaults'), 'true');
  t.equal(readFlag(['--v=2'], 'protect-kernel-defaults'), undefined);
  t.end();
});

void t.test('the flag is written one way', (t) => {
  t.equal(renderFlag(['net.b', 'net.a*']), '--allowed-unsafe-sysctls=net.b,net.a*');
  t.equal(renderFlag([]), '--allowed-unsafe-sysctls=');
  t.equal(renderFlag(['net.a'], true), '--experimental-allowed-unsafe-sysctls=net.a');
  t.end();
});

const entry = fc.stringMatching(/^[a-z0-9][a-z0-9_./-]{0,10}\*?$/);
const entryList = fc.array(entry, { maxLength: 5 });

void t.test('what is written is read back, whatever stands around it', (t) => {
  const around = fc.array(fc.constantFrom('--v=2', '--runonce', '--config=/a', '$X'), { maxLength: 3 });
  fc.assert(
    fc.property(entryList, fc.boolean(), around, around, (entries, experimental, before, after) => {
      const reading = readAllowlistFlag([...before, renderFlag(entries, experimental), ...after]);
      return (
        reading.ok &&
        reading.occurrences.length === 1 &&
        reading.occurrences[0]?.index === before.length &&
        JSON.stringify(reading.entries) === JSON.stringify(entries) &&
        reading.experimental === experimental
      );
    }),
  );
  t.end();
});

void t.test(
  'no command line makes the reader throw, and its answer never holds a certain flag after --',
  (t) => {
    const word = fc.constantFrom(
      '--',
      '-',
      '',
      F,
      `${F}=a`,
      '--x',
      '--x=1',
      '-v',
      '--runonce',
      'y',
      '-x',
      `${F}="`,
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (args) => {
        const reading = readAllowlistFlag(args);
        if (!reading.ok) return reading.problem.code === 'KUBELET_FLAG_UNREADABLE';
        return pflagReadings(args).every(
          (entries) => JSON.stringify(entries) === JSON.stringify(reading.entries),
        );
      }),
      { numRuns: 2000 },
    );
    t.end();
  },
);

/**
 * Oracle: every reading that pflag could arrive at, for every choice of which unknown flags take a value. Readings in
 * which the kubelet exits (a flag without its argument, a word that is no flag) are left out, unless all exit.
 */
function pflagReadings(args: readonly string[]): readonly (readonly string[] | undefined)[] {
  const [first, ...rest] = args;
  if (first === undefined || first === '--') return [undefined];
  if (first.startsWith(`${F}=`)) return append(first.slice(F.length + 1), rest);
  if (first === F) return rest.length === 0 ? [] : append(rest[0] ?? '', rest.slice(1));
  if (first === '--x')
    return [...pflagReadings(rest), ...(rest.length === 0 ? [] : pflagReadings(rest.slice(1)))];
  if (first === '-v') return rest.length === 0 ? [] : pflagReadings(rest.slice(1));
  if (first === '--x=1' || first === '--runonce') return pflagReadings(rest);
  return [];
}

function append(value: string, rest: readonly string[]): readonly (readonly string[] | undefined)[] {
  if (value.includes('"')) return [];
  const entries = value === '' ? [] : value.split(',');
  return pflagReadings(rest).map((later) => [...entries, ...(later ?? [])]);
}
