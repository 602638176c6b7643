// A policy's author may say which sysctls, and nothing else: no flag, no path, no unit text, no second line.
import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import t from 'tap';
import { visible } from '../../../agent/cli/text.ts';
import { checkEntry } from '../../../agent/kubelet/entries.ts';
import { parseKubeletVersion } from '../../../agent/kubelet/version.ts';
import { policyFromFlags } from '../../../agent/policy/from-flags.ts';
import { readPolicies } from '../../../agent/policy/read.ts';
import { isValidSysctlName, toProcPath } from '../../../agent/sysctl/names.ts';
import { watchdogScript } from '../../../agent/transaction/watchdog.ts';

const hostile = [
  'net.core.somaxconn --config=/tmp/evil',
  'net.core.somaxconn\nExecStart=/tmp/evil',
  'net.core.somaxconn\rX=1',
  'net.core.somaxconn\\',
  'net.core.somaxconn"',
  "net.core.somaxconn'",
  'net.core.somaxconn;/bin/sh',
  'net.%H',
  'net.$HOME',
  'net.${HOME}',
  'net.`id`',
  'net.../../../etc/passwd',
  '../etc/passwd',
  '/etc/passwd',
  'net..core',
  '-net.core.somaxconn',
  '--authentication-token-webhook=false',
  'net.core.somaxconn,--config=x',
  'net.core.somaxconn\u0000',
  'net.core.somaxconn\u2028X',
  'net.cоre.somaxconn',
  ' net.core.somaxconn',
  '#net',
  '',
];

const document = (spec: object): string =>
  JSON.stringify({
    apiVersion: 'sysctl-agent.dev/v1alpha1',
    kind: 'NodeSysctlPolicy',
    metadata: { name: 'evil' },
    spec,
  });
const refused = (spec: object): boolean => {
  const { policies, problems } = readPolicies([{ path: 'evil.yaml', text: document(spec) }]);
  return policies.length === 0 && problems.length > 0;
};

void t.test('a document with a hostile entry, sysctl name, value or unit yields no policy', (t) => {
  const passing = (texts: readonly string[], spec: (text: string) => object): readonly string[] =>
    texts.filter((text) => !refused(spec(text))).map((text) => JSON.stringify(text));
  t.strictSame(
    passing(hostile, (text) => ({ kubelet: { allowedUnsafeSysctls: ['net.core.somaxconn', text] } })),
    [],
  );
  // Names of network interfaces may hold all letters and these two signs; nothing that such a name is written into expands them (below).
  const names = hostile.filter((text) => !['net.%H', 'net.$HOME', 'net.cоre.somaxconn'].includes(text));
  t.strictSame(
    passing(names, (name) => ({ sysctls: [{ name, value: '1' }] })),
    [],
  );
  const units = [
    '../kubelet.service',
    'a/b.service',
    'kubelet.service\n',
    'kubelet.target',
    'x y.service',
    '$(id).service',
    '%n.service',
  ];
  t.strictSame(
    passing([...hostile, ...units], (unit) => ({ kubelet: { unit } })),
    [],
  );
  // U+2028 and its like end a line for JavaScript alone, not for systemd, a shell or the kernel.
  const values = ['1\nkernel.core_pattern=|/tmp/evil', '1\r\n2', '1\u0000', '\u001b[2J'];
  t.strictSame(
    passing(values, (value) => ({ sysctls: [{ name: 'vm.swappiness', value }] })),
    [],
  );
  t.end();
});

void t.test('the command line is no way around the document', (t) => {
  const passing = hostile.filter((text) => {
    const { policies, problems } = policyFromFlags({ allow: [text], sysctl: [] });
    return (
      problems.length === 0 && !policies.every(({ spec }) => spec.kubelet.allowedUnsafeSysctls.every(isPlain))
    );
  });
  t.strictSame(
    passing.map((text) => JSON.stringify(text)),
    [],
  );
  t.end();
});

void t.test('names and values reach the watchdog’s script as one word each, whatever they hold', (t) => {
  const hard = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter((text) => !text.includes('\0'));
  const nasty = fc.oneof(
    hard,
    fc.constantFrom("'", "';id;'", '$(id)', '`id`', '"', '\\', '%s', '$HOME', '\n', '-n'),
  );
  fc.assert(
    fc.property(nasty, nasty, (value, name) => {
      const script = watchdogScript({
        directory: '/var/lib/kubelet-sysctl-agent/backup/x',
        unit: 'kubelet.service',
        restorations: [],
        sysctls: [{ value, procPath: `/proc/sys/net/${name}` }],
        reload: false,
        baselineInvocationId: 'x',
        madeDirectories: [],
      });
      const calls = script.slice(
        script.indexOf('\n  set_sysctl ') + 1,
        script.indexOf('\n  # Nothing was written'),
      );
      const shell = `set_sysctl() { printf '%s\\0' "$@"; }\n${calls}`;
      const words = execFileSync('/bin/sh', ['-c', shell], { encoding: 'utf8', env: { HOME: '/root' } });
      return words === `${value}\0/proc/sys/net/${name}\0`;
    }),
    { numRuns: 60 },
  );
  t.end();
});

const isPlain = (entry: string): boolean => /^[a-z0-9][a-z0-9._/-]*\*?$|^\*$/.test(entry);

void t.test(
  'whatever passes as an entry is made of letters that mean nothing to systemd, to a shell or to CSV',
  (t) => {
    const piece = fc.oneof(
      fc.constantFrom(...hostile, 'net.', 'core', '*', '/', '..', 'kernel.shm'),
      fc.string({ unit: 'binary', maxLength: 6 }),
    );
    const versions = [
      undefined,
      ...['v1.20.0', 'v1.25.0', 'v1.36.0'].map((text) => parseKubeletVersion(text)),
    ];
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...versions),
        (pieces, version) => {
          const verdict = checkEntry(pieces.join(''), version);
          return !verdict.ok || isPlain(verdict.entry);
        },
      ),
      { numRuns: 500 },
    );
    t.end();
  },
);

void t.test('whatever passes as a sysctl’s name stays below /proc/sys and is one word of sysctl.d', (t) => {
  const piece = fc.oneof(
    fc.constantFrom('..', '.', '/', 'net', 'conf', 'eth0', '-', '=', '#', '\n', ' ', '*', '\\', '"'),
    fc.string({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
      const name = pieces.join('');
      if (!isValidSysctlName(name)) return true;
      const parts = toProcPath(name).split('/');
      return (
        toProcPath(name).startsWith('/proc/sys/') &&
        !parts.includes('..') &&
        !parts.includes('.') &&
        !/[\s=*?[\]"'\\#;]/.test(name)
      );
    }),
    { numRuns: 3000 },
  );
  t.end();
});

void t.test('what a node’s files and sysctls say cannot steer a terminal', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
      const letters = Array.from(visible(text)).filter((letter) => letter !== '\t');
      return letters.every(
        (letter) =>
          !/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(letter) || /[\u061c\u200e\u200f]/.test(letter),
      );
    }),
  );
  t.end();
});
