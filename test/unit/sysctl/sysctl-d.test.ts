import * as fc from 'fast-check';
import t from 'tap';
import type { SysctlFile } from '../../../agent/sysctl/sysctl-d.ts';
import { inReadingOrder, readSysctlD, renderSysctlD, sourceOf } from '../../../agent/sysctl/sysctl-d.ts';
import { readSysctlLines } from '../../../agent/sysctl/sysctl-lines.ts';

const file = (path: string, ...lines: string[]): SysctlFile => ({
  path,
  text: lines.map((line) => `${line}\n`).join(''),
});
const lines = (text: string): readonly (readonly [string, string | undefined, number])[] =>
  readSysctlLines(text).map(({ key, value, line }) => [key, value, line]);
const source = (name: string, ...files: SysctlFile[]): string | undefined => {
  const found = sourceOf(name, files);
  return found && `${found.path}:${found.line} ${found.value}`;
};

void t.test('lines are read as systemd-sysctl reads them', (t) => {
  t.same(
    lines(
      [
        '# comment = 1',
        '  ; comment = 2',
        '',
        'net.core.somaxconn=1024',
        '  net.core.somaxconn \t=\t 2048  ',
        'net/ipv4/conf/eth0.100/rp_filter = 1',
        'net.ipv4.conf.eth0/100.rp_filter = 2',
        '-net.bogus = 3',
        '-net.ipv4.conf.lo.rp_filter',
        'no assignment',
        'net//core/./x = 4',
        '/net/core/y = 5',
        'net.ipv4.conf.*.rp_filter = 1\r',
        '= 7',
      ].join('\n'),
    ),
    [
      ['net/core/somaxconn', '1024', 4],
      ['net/core/somaxconn', '2048', 5],
      ['net/ipv4/conf/eth0.100/rp_filter', '1', 6],
      ['net/ipv4/conf/eth0.100/rp_filter', '2', 7],
      ['net/bogus', '3', 8],
      ['net/ipv4/conf/lo/rp_filter', undefined, 9],
      ['net/core/x', '4', 11],
      ['net/core/y', '5', 12],
      ['net/ipv4/conf/*/rp_filter', '1', 13],
    ],
  );
  t.end();
});

void t.test('what an INI reader would take as syntax is part of the value', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['1 # not a comment', '1 # not a comment'],
    ['a;b', 'a;b'],
    ['"quoted"', '"quoted"'],
    ["'quoted'", "'quoted'"],
    ['|/bin/dump %P %u', '|/bin/dump %P %u'],
    ['a = b', 'a = b'],
    ['\\;\\#\\\\', '\\;\\#\\\\'],
    ['true', 'true'],
    ['null', 'null'],
    ['[x]', '[x]'],
    ['%0041', '%0041'],
    ['', ''],
    ['\u00a0x\u00a0', '\u00a0x\u00a0'],
  ];
  for (const [written, wanted] of table) t.same(lines(`a.b = ${written}`), [['a/b', wanted, 1]], written);
  t.same(lines('a.b[] = 1\n__proto__ = 2\n[section] = 3\n"a.c" = 4\n'), [
    ['a/b[]', '1', 1],
    ['__proto__', '2', 2],
    ['[section]', '3', 3],
    ['"a/c"', '4', 4],
  ]);
  t.end();
});

void t.test(
  'files are read by name over all directories; the stronger directory hides a file of the same name',
  (t) => {
    const files = [
      file('/etc/sysctl.conf', ''),
      file('/usr/lib/sysctl.d/50-default.conf', ''),
      file('/etc/sysctl.d/99-a.conf', ''),
      file('/run/sysctl.d/50-default.conf', ''),
      file('/usr/local/lib/sysctl.d/9-b.conf', ''),
      file('/etc/sysctl.d/10-c.conf', ''),
      file('/etc/sysctl.d/README', ''),
      file('/etc/sysctl.d/sub/1.conf', ''),
      file('/srv/1.conf', ''),
    ];
    const wanted = [
      '/etc/sysctl.d/10-c.conf',
      '/run/sysctl.d/50-default.conf',
      '/usr/local/lib/sysctl.d/9-b.conf',
      '/etc/sysctl.d/99-a.conf',
      '/etc/sysctl.conf',
    ];
    for (const given of [files, files.toReversed()]) {
      const order = inReadingOrder(given).map(({ path }) => path);
      t.same(order, wanted);
    }
    t.end();
  },
);

void t.test('the last line wins, and the source is its file and line', (t) => {
  const vendor = file('/usr/lib/sysctl.d/50-v.conf', '# x', 'vm.swappiness = 60', 'vm/swappiness = 50');
  const admin = file('/etc/sysctl.d/60-a.conf', 'vm.swappiness = 10');
  const early = file('/etc/sysctl.d/10-a.conf', 'vm.swappiness = 1');
  t.equal(source('vm.swappiness', admin, vendor), '/etc/sysctl.d/60-a.conf:1 10');
  t.equal(source('vm/swappiness', early, vendor), '/usr/lib/sysctl.d/50-v.conf:3 50');
  t.equal(source('vm.swappiness', vendor, { path: '/etc/sysctl.d/50-v.conf', text: '' }), undefined);
  t.equal(
    source('vm.swappiness', vendor, file('/etc/sysctl.conf', 'vm.swappiness=5')),
    '/etc/sysctl.conf:1 5',
  );
  t.equal(source('vm.overcommit_memory', vendor, admin), undefined);
  t.end();
});

void t.test(
  'an exact name beats every glob, the last glob beats the others, and -name keeps globs off',
  (t) => {
    const all = file('/etc/sysctl.d/90.conf', 'net.ipv4.conf.*.rp_filter = 2');
    const some = file(
      '/etc/sysctl.d/80.conf',
      'net.ipv4.conf.[!a-d]*.rp_filter = 0',
      'net.ipv4.conf.lo.rp_filter = 1',
    );
    const off = file('/etc/sysctl.d/10.conf', '-net.ipv4.conf.eth0.rp_filter');
    t.equal(source('net.ipv4.conf.lo.rp_filter', all, some, off), '/etc/sysctl.d/80.conf:2 1');
    t.equal(source('net.ipv4.conf.eth1/5.rp_filter', all, some, off), '/etc/sysctl.d/90.conf:1 2');
    t.equal(source('net.ipv4.conf.eth1.rp_filter', some), '/etc/sysctl.d/80.conf:1 0');
    t.equal(source('net.ipv4.conf.all.rp_filter', some), undefined);
    t.equal(source('net.ipv4.conf.eth0.rp_filter', all, off), undefined);
    t.equal(source('net.ipv4.conf.lo.deep.rp_filter', all), undefined);
    t.equal(
      source('net.core.somaxconn', file('/etc/sysctl.d/1.conf', 'net.?ore.[s]omaxconn=1')),
      '/etc/sysctl.d/1.conf:1 1',
    );
    t.end();
  },
);

void t.test('a glob whose value comes again keeps its place, another value moves it to the end', (t) => {
  const glob = 'net.*.somaxconn';
  const other = 'net.core.*';
  const first = file('/etc/sysctl.d/1.conf', `${glob} = 1`, `${other} = 2`);
  t.equal(
    source('net.core.somaxconn', first, file('/etc/sysctl.d/2.conf', `${glob} = 1`)),
    '/etc/sysctl.d/1.conf:2 2',
  );
  t.equal(
    source('net.core.somaxconn', first, file('/etc/sysctl.d/2.conf', `${glob} = 3`)),
    '/etc/sysctl.d/2.conf:1 3',
  );
  t.end();
});

void t.test('hostile globs neither throw nor match by accident', (t) => {
  for (const key of [
    'net.[',
    'net.[]',
    'net.[z-a]',
    'net.(*',
    'net.a+*',
    'net.[\\]*',
    'net.**********************b',
  ]) {
    t.equal(source('net.core', file('/etc/sysctl.d/1.conf', `${key} = 1`)), undefined, key);
  }
  t.end();
});

void t.test(
  'our file has a header, one line a value, and fails no boot for a name that the kernel lacks',
  (t) => {
    t.equal(
      renderSysctlD([
        { name: 'net.ipv4.ip_local_port_range', value: '32768 60999' },
        { name: 'net.ipv4.conf.eth0/100.rp_filter', value: '1' },
      ]),
      '# Written by kubelet-sysctl-agent from its policy; changes made here are overwritten.\n-net.ipv4.ip_local_port_range = 32768 60999\n-net.ipv4.conf.eth0/100.rp_filter = 1\n',
    );
    t.end();
  },
);

void t.test('reading a file back leaves out globs, exclusions and what is no path', (t) => {
  t.same(readSysctlD('a.b=1\na/b=2\nnet.*.x=3\n-c.d\n-c.e=4\n../x=5\n'), [
    { name: 'a.b', value: '2' },
    { name: 'c.e', value: '4' },
  ]);
  t.end();
});

const name = fc.constantFrom(
  'vm.swappiness',
  'net.core.somaxconn',
  'net.ipv4.conf.eth0/100.rp_filter',
  'kernel.core_pattern',
);
const value = fc
  .string({ unit: fc.constantFrom(...' #;"\'[]=\\%|a0\t-'.split('')), maxLength: 10 })
  .map((text) => text.trim());

void t.test('law: what is written is read back, and is its own source', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.record({ name, value }), { selector: (kept) => kept.name }), (values) => {
      const text = renderSysctlD(values);
      const own = { path: '/etc/sysctl.d/zz.conf', text };
      return (
        JSON.stringify(readSysctlD(text)) === JSON.stringify(values) &&
        values.every((kept) => sourceOf(kept.name, [own])?.value === kept.value)
      );
    }),
  );
  t.end();
});

void t.test('law: the INI reader behind it changes nothing that a reader by the first = would not', (t) => {
  const text = fc.string({
    unit: fc.constantFrom(...' =#;"\'[]\\%abt_.\t-\r'.split(''), 'true', '__proto__'),
    maxLength: 12,
  });
  fc.assert(
    fc.property(text, (line) => JSON.stringify(lines(line)) === JSON.stringify(byFirstEquals(line))),
    { numRuns: 5000 },
  );
  t.end();
});

function byFirstEquals(line: string): readonly (readonly [string, string | undefined, number])[] {
  const strip = (text: string): string => text.replace(/^[ \t\r]+|[ \t\r]+$/g, '');
  const whole = strip(line);
  if (whole === '' || whole.startsWith('#') || whole.startsWith(';')) return [];
  const optional = whole.startsWith('-');
  const at = whole.indexOf('=');
  if (at === -1 && !optional) return [];
  const key = strip((at === -1 ? whole : whole.slice(0, at)).slice(optional ? 1 : 0));
  const swapped = /^[^/]*\./.test(key) ? key.replace(/[./]/g, (c) => (c === '.' ? '/' : '.')) : key;
  const path = swapped
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
  return path === '' ? [] : [[path, at === -1 ? undefined : strip(whole.slice(at + 1)), 1]];
}
