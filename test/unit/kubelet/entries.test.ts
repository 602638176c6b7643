import * as fc from 'fast-check';
import t from 'tap';
import { checkEntries, checkEntry } from '../../../agent/kubelet/entries.ts';
import type { KubeletVersion } from '../../../agent/kubelet/version.ts';

const v = (minor: number): KubeletVersion => ({ major: 1, minor, patch: 0, text: `v1.${minor}.0` });
const every = [v(11), v(21), v(22), v(23), v(28), v(29), v(36), undefined];
const said = (entry: string, version: KubeletVersion | undefined): string => {
  const verdict = checkEntry(entry, version);
  return verdict.ok ? `ok ${verdict.entry}` : `${verdict.problem.code} ${verdict.problem.message}`;
};

void t.test('entries that are good everywhere', (t) => {
  for (const entry of [
    'net.*',
    'fs.mqueue.*',
    'kernel.shm*',
    'kernel.msg*',
    'kernel.sem',
    'kernel.sem*',
    'net.core.somaxconn',
    'net.core.somaxconn*',
    'net.bogus',
    'net.ipv4.tcp_*',
    'kernel.shm_rmid_forced',
    'kernel.msgmax',
    `net.${'a'.repeat(249)}`,
  ]) {
    for (const version of every) t.equal(said(entry, version), `ok ${entry}`, `${entry} ${version?.text}`);
  }
  t.end();
});

void t.test('entries that every kubelet knows to be for the node alone', (t) => {
  for (const entry of [
    'net*',
    'fs.mqueue*',
    '*',
    'kernel.*',
    'vm.*',
    'user.*',
    'kernel.hostname',
    'kernel.domainname',
    'kernel.auto_msgmni',
    'kernel.sem_next_id',
    'vm.swappiness',
    'fs.file-max',
    'net',
    'kernel.semaphore',
  ]) {
    for (const version of every)
      t.match(said(entry, version), /^ENTRY_NOT_NAMESPACED /, `${entry} ${version?.text}`);
  }
  t.end();
});

void t.test('entries that no kubelet can parse', (t) => {
  for (const entry of [
    '',
    ' net.*',
    'net.* ',
    'net.*.foo',
    'net.core.*.foo',
    'net.core.som*x',
    'net.**',
    'net.-',
    'net.a-',
    'a..b',
    'net.',
    'net/',
    '.net',
    '/proc/sys/net',
    'Net.core.somaxconn',
    'net.core.SOMAXCONN',
    'net.core.somaxconn=512',
    'net.a;net.b',
    "'net.*'",
    'net.a\n',
    'net.ünicode',
    `net.${'a'.repeat(250)}`,
  ]) {
    for (const version of every)
      t.match(said(entry, version), /^ENTRY_MALFORMED /, `${entry} ${version?.text}`);
  }
  t.end();
});

void t.test('what 1.28 accepts and 1.29 refuses is a warning before and a problem after', (t) => {
  for (const entry of [
    'kernel.shm.*',
    'kernel.shm_*',
    'kernel.shma*',
    'kernel.msgm*',
    'kernel.msg.*',
    'kernel.shm_next_id',
    'kernel.msg_next_id',
  ]) {
    for (const version of [v(20), v(23), v(28)]) {
      const verdict = checkEntry(entry, version);
      t.same(
        verdict.ok && verdict.warnings.map(({ code }) => code),
        ['ENTRY_NOT_NAMESPACED'],
        `${entry} ${version.text}`,
      );
    }
    for (const version of [v(29), v(36), undefined]) t.match(said(entry, version), /^ENTRY_NOT_NAMESPACED /);
  }
  t.end();
});

void t.test('the warning names the trap, the text of 1.29 and the way out', (t) => {
  const verdict = checkEntry('kernel.shm.*', v(28));
  t.same(verdict, {
    ok: true,
    entry: 'kernel.shm.*',
    warnings: [
      {
        code: 'ENTRY_NOT_NAMESPACED',
        message:
          'kubelet v1.28.0 accepts "kernel.shm.*", but from 1.29 on the kubelet exits at start with: the sysctls "kernel.shm." are not known to be namespaced',
        next: 'Write kernel.shm* or the full names: since 1.29 the kubelet knows the kernel.shm names one by one.',
      },
    ],
  });
  t.end();
});

void t.test('refusals carry the words of that version', (t) => {
  const lead = (version: string): string => `kubelet ${version} would exit at start with: `;
  const table: readonly (readonly [string, number, string])[] = [
    ['vm.swappiness', 36, 'the sysctls "vm.swappiness" are not known to be namespaced'],
    ['vm.swappiness', 28, 'the sysctl "vm.swappiness" are not known to be namespaced'],
    ['vm.*', 36, 'the sysctls "vm." are not known to be namespaced'],
    ['vm.*', 28, 'the sysctls "vm.*" are not known to be namespaced'],
    ['*', 36, 'the sysctls "" are not known to be namespaced'],
    [
      'a..b',
      36,
      'sysctl "a..b" must have at most 253 characters and match regex ([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]',
    ],
    [
      'a\t"b\\\u0001',
      22,
      'sysctl "a\\t\\"b\\\\\\x01" must have at most 253 characters and match regex ([a-z0-9]([-_a-z0-9]*[a-z0-9])?\\.)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]',
    ],
  ];
  for (const [entry, minor, text] of table) {
    const verdict = checkEntry(entry, v(minor));
    t.equal(!verdict.ok && verdict.problem.message, lead(`v1.${minor}.0`) + text);
  }
  const unknown = checkEntry('vm.*', undefined);
  t.equal(
    !unknown.ok && unknown.problem.message,
    'a kubelet from 1.29 on would exit at start with: the sysctls "vm." are not known to be namespaced',
  );
  t.end();
});

void t.test('a slash spelling is judged and written with dots; a slash that stays needs 1.23', (t) => {
  for (const version of every) t.equal(said('net/core/somaxconn', version), 'ok net.core.somaxconn');
  for (const entry of ['net/ipv4/conf/eno2.100/rp_filter', 'net.ipv4.conf.eno2/100.rp_filter']) {
    t.equal(said(entry, v(23)), 'ok net.ipv4.conf.eno2/100.rp_filter');
    t.match(said(entry, v(22)), /^ENTRY_MALFORMED kubelet v1\.22\.0/);
    t.match(said(entry, undefined), /^ENTRY_MALFORMED a kubelet up to 1\.22/);
  }
  t.end();
});

void t.test('every refusal says what to write instead', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['', 'Remove the empty entry: two commas in a row and a comma at the end make one.'],
    [' net.core.somaxconn', 'Write net.core.somaxconn without blanks around it.'],
    ['net.core.somaxconn=512', 'Write the name alone: an entry allows a sysctl, the pod sets its value.'],
    ['net.core.*.foo', 'A * may stand once, at the very end: net.core.* would cover it.'],
    ['net.', 'Write net.* to allow everything below, or leave the last separator out.'],
    ['net*', 'Write net.* for everything below net.'],
    ['fs.mqueue*', 'Write fs.mqueue.* for everything below fs.mqueue.'],
    ['kernel.*', 'Name the families instead: net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*.'],
    ['kernel.hostname', 'Set hostname, subdomain or setHostnameAsFQDN in the pod instead.'],
    [
      'vm.swappiness',
      'Only net.*, fs.mqueue.* and the kernel.shm, kernel.msg and kernel.sem families exist per pod. Set this one on the node, under sysctls.',
    ],
  ];
  for (const [entry, next] of table) {
    const verdict = checkEntry(entry, v(36));
    t.equal(!verdict.ok && verdict.problem.next, next, entry);
  }
  t.end();
});

void t.test(
  'a list is judged whole: all problems at once, duplicates of either spelling once, order kept',
  (t) => {
    const verdict = checkEntries(
      ['net.b', 'net/a', 'vm.x', 'net.a', 'A', 'kernel.shm_*', 'kernel/shm_*', 'net.b'],
      v(28),
    );
    t.same(verdict.entries, ['net.b', 'net.a', 'kernel.shm_*']);
    t.same(
      verdict.problems.map(({ code }) => code),
      ['ENTRY_NOT_NAMESPACED', 'ENTRY_MALFORMED'],
    );
    t.equal(verdict.warnings.length, 1);
    t.end();
  },
);

const soup = fc.string({
  unit: fc.constantFrom(...'ab-_./*0'.split(''), 'net.', 'kernel.shm', 'kernel.sem'),
  maxLength: 8,
});

void t.test(
  'what passes without a known version passes in every version, and later versions accept no more',
  (t) => {
    fc.assert(
      fc.property(soup, (entry) => {
        const eras = [v(22), v(23), v(28), v(29), v(36)].map((version) => checkEntry(entry, version).ok);
        return (
          checkEntry(entry, undefined).ok === eras.every(Boolean) && !(eras[3] === true && eras[2] === false)
        );
      }),
    );
    t.end();
  },
);

void t.test('the verdict does not depend on the spelling', (t) => {
  const names = fc.array(fc.stringMatching(/^[a-z0-9]{1,4}$/), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom('net', 'vm', 'fs'), names, (first, rest) => {
      const dots = [first, ...rest].join('.');
      const slashes = [first, ...rest].join('/');
      return every.every((version) => checkEntry(slashes, version).ok === checkEntry(dots, version).ok);
    }),
  );
  t.end();
});

void t.test('a long hostile entry is judged at once', (t) => {
  t.match(said(`${'a-'.repeat(126)}!`, v(36)), /^ENTRY_MALFORMED/);
  t.match(said('a'.repeat(5_000_000), v(36)), /^ENTRY_MALFORMED/);
  t.end();
});
