import * as fc from 'fast-check';
import t from 'tap';
import { fromProcPath, isValidSysctlName, normaliseName, toProcPath } from '../../../agent/sysctl/names.ts';

void t.test('the first separator decides how a name is spelled', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['net.core.somaxconn', 'net.core.somaxconn'],
    ['net/core/somaxconn', 'net.core.somaxconn'],
    ['net/ipv4/conf/eno2.100/rp_filter', 'net.ipv4.conf.eno2/100.rp_filter'],
    ['net.ipv4.conf.eno2/100.rp_filter', 'net.ipv4.conf.eno2/100.rp_filter'],
    ['net/*', 'net.*'],
    ['kernel', 'kernel'],
    ['', ''],
  ];
  for (const [name, wanted] of table) t.equal(normaliseName(name), wanted, name);
  t.end();
});

void t.test('a name leads to its file, dots in interface names included', (t) => {
  t.equal(toProcPath('net.ipv4.conf.eth0/100.rp_filter'), '/proc/sys/net/ipv4/conf/eth0.100/rp_filter');
  t.equal(toProcPath('net/ipv4/conf/eth0.100/rp_filter'), '/proc/sys/net/ipv4/conf/eth0.100/rp_filter');
  t.equal(toProcPath('vm.swappiness'), '/proc/sys/vm/swappiness');
  t.equal(fromProcPath('/proc/sys/net/ipv4/conf/eth0.100/rp_filter'), 'net.ipv4.conf.eth0/100.rp_filter');
  t.end();
});

void t.test('a file that no name leads to has none', (t) => {
  for (const path of [
    '/proc/sys/',
    '/proc/sys',
    '/sys/net',
    '/proc/sys/a.b/c',
    '/proc/sys/a.b',
    '/proc/sys/net/../vm',
    '/proc/sys/net//core',
    '/proc/sys/net/',
  ]) {
    t.equal(fromProcPath(path), undefined, path);
  }
  t.end();
});

void t.test('names that would mean something else to the file system or to sysctl.d are not valid', (t) => {
  for (const name of [
    '',
    '.',
    '/',
    '..',
    'net',
    'net.',
    'net..core',
    'net.//.core',
    'net/../kernel/core_pattern',
    'net/./core',
    '/etc/passwd',
    '.net',
    '-net.core.somaxconn',
    '#net.core',
    'net.*',
    'net.[a]',
    'net.?',
    'net.{a,b}',
    'net.a=b',
    'net.a b',
    'net.a\n',
    'net.a\0b',
    'net."a"',
    'net.a\\b',
    'net.\u00a0',
  ]) {
    t.equal(isValidSysctlName(name), name === 'net', JSON.stringify(name));
  }
  for (const name of [
    'vm.swappiness',
    'net/ipv4/conf/eth0.100/rp_filter',
    'net.ipv4.conf.br-0a_@x.rp_filter',
  ]) {
    t.equal(isValidSysctlName(name), true, name);
  }
  t.end();
});

const first = fc.stringMatching(/^[a-z0-9_][a-z0-9_-]{0,5}$/);
const part = fc.stringMatching(/^[A-Za-z0-9_.@-]{1,6}$/).filter((text) => !/^\.{1,2}$/.test(text));
const path = fc
  .tuple(first, fc.array(part, { maxLength: 4 }))
  .map(([head, rest]) => `/proc/sys/${[head, ...rest].join('/')}`);

void t.test('laws: from a path to its name and back, and from a name to its path and back', (t) => {
  fc.assert(
    fc.property(path, (path) => {
      const name = fromProcPath(path);
      return (
        name !== undefined &&
        isValidSysctlName(name) &&
        normaliseName(name) === name &&
        toProcPath(name) === path
      );
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'b', '.', '/', '0'), maxLength: 8 }), (name) => {
      return !isValidSysctlName(name) || fromProcPath(toProcPath(name)) === normaliseName(name);
    }),
    { numRuns: 2000 },
  );
  t.end();
});

void t.test('laws: two names share a path only if they are one name; no valid name leaves /proc/sys', (t) => {
  const name = fc.string({ unit: fc.constantFrom('a', '.', '/', 'b'), maxLength: 6 });
  fc.assert(
    fc.property(
      name,
      name,
      (a, b) => toProcPath(a) !== toProcPath(b) || normaliseName(a) === normaliseName(b),
    ),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 10 }), (name) => {
      return (
        !isValidSysctlName(name) || new URL(`file://${toProcPath(name)}`).pathname.startsWith('/proc/sys/')
      );
    }),
  );
  t.end();
});
