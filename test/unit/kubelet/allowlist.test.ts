import * as fc from 'fast-check';
import t from 'tap';
import {
  coverage,
  covers,
  difference,
  isCovered,
  narrowed,
  normaliseEntry,
  redundantWith,
  unite,
} from '../../../agent/kubelet/allowlist.ts';
import { inForce } from '../../../agent/kubelet/in-force.ts';

void t.test('an entry covers what its name or the part before its star covers, in both spellings', (t) => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['net.*', 'net.core.somaxconn', true],
    ['net.*', 'net.core.*', true],
    ['net.*', 'net/core/somaxconn', true],
    ['net/*', 'net.core.somaxconn', true],
    ['net.core.somaxconn', 'net/core/somaxconn', true],
    ['net.core.somaxconn', 'net.core.somaxconn*', false],
    ['net.core.somaxconn*', 'net.core.somaxconn', true],
    ['net.core.*', 'net.*', false],
    ['net.core.*', 'net.core', false],
    ['net.core', 'net.core.somaxconn', false],
    ['kernel.shm*', 'kernel.shm_rmid_forced', true],
    ['net.ipv4.tcp_*', 'net.ipv4.tcpx', false],
    ['net/ipv4/conf/eth0.1*', 'net.ipv4.conf.eth0/100.rp_filter', true],
    ['net.ipv4.conf.eth0.*', 'net/ipv4/conf/eth0.100/rp_filter', false],
  ];
  for (const [entry, other, wanted] of table)
    t.equal(covers(entry, other), wanted, `${entry} covers ${other}`);
  t.end();
});

void t.test('uniting keeps order and covered entries, and drops a second spelling', (t) => {
  t.same(unite(['net.*', 'net.b'], ['net/b', 'net.a'], []), ['net.*', 'net.b', 'net.a']);
  t.same(unite(), []);
  t.end();
});

void t.test('a difference tells a narrowing from an entry that another one still covers', (t) => {
  t.same(difference(['net.core.somaxconn', 'net.*', 'kernel.sem'], ['net/*', 'kernel.msgmax']), {
    added: ['kernel.msgmax'],
    kept: ['net.*'],
    removed: ['kernel.sem'],
    subsumed: ['net.core.somaxconn'],
  });
  t.end();
});

void t.test(
  'narrowing: a wider entry replaced by a narrower one, but not the other way round, nor a safe sysctl',
  (t) => {
    t.same(narrowed(['net.*'], ['net.core.*', 'net.ipv4.*']), ['net.*']);
    t.same(narrowed(['net.core.*'], ['net.*']), []);
    t.same(narrowed(['net/core/somaxconn'], []), ['net.core.somaxconn']);
    t.same(narrowed([], ['net.*']), []);
    t.same(narrowed(['net.ipv4.tcp_syncookies'], [], ['net.ipv4.tcp_syncookies']), []);
    t.same(narrowed(['net.ipv4.tcp_*'], [], ['net.ipv4.tcp_syncookies']), ['net.ipv4.tcp_*']);
    t.end();
  },
);

void t.test('entries that are safe sysctls are redundant, patterns are not', (t) => {
  t.same(
    redundantWith(
      ['net/ipv4/tcp_syncookies', 'net.ipv4.tcp_*', 'net.core.somaxconn'],
      ['net.ipv4.tcp_syncookies'],
    ),
    ['net.ipv4.tcp_syncookies'],
  );
  t.end();
});

void t.test('the flag replaces the list of the files, even when it is empty', (t) => {
  t.same(inForce(['net.a'], ['net.b']), ['net.a']);
  t.same(inForce([], ['net.b']), []);
  t.same(inForce(undefined, ['net/b', 'net.b']), ['net.b']);
  t.same(inForce(undefined, undefined), []);
  t.end();
});

const part = fc.constantFrom('a', 'b', 'ab', 'eth0.1');
const anEntry = fc
  .tuple(
    fc.constantFrom('.', '/'),
    fc.array(part, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '*', '/*', '.*'),
  )
  .map(([separator, parts, end]) => parts.join(separator) + end);
const list = fc.array(anEntry, { maxLength: 5 });

void t.test(
  'laws: normalising twice is normalising once; covering is reflexive, transitive and blind to spelling',
  (t) => {
    fc.assert(
      fc.property(anEntry, (entry) => {
        const once = normaliseEntry(entry);
        return (
          normaliseEntry(once) === once && covers(entry, entry) && covers(entry, once) && covers(once, entry)
        );
      }),
    );
    fc.assert(
      fc.property(anEntry, anEntry, anEntry, (a, b, c) => !(covers(a, b) && covers(b, c)) || covers(a, c)),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(
        anEntry,
        anEntry,
        (a, b) => !(covers(a, b) && covers(b, a)) || normaliseEntry(a) === normaliseEntry(b),
      ),
      { numRuns: 5000 },
    );
    t.end();
  },
);

void t.test('laws: a union covers both of its lists, holds nothing else, and narrows neither', (t) => {
  fc.assert(
    fc.property(list, list, (a, b) => {
      const union = unite(a, b);
      const both = [...a, ...b].map(normaliseEntry);
      return (
        both.every((entry) => isCovered(union, entry)) &&
        union.every((entry) => both.includes(entry)) &&
        narrowed(a, union).length === 0 &&
        narrowed(b, union).length === 0 &&
        JSON.stringify(unite(union, b)) === JSON.stringify(union)
      );
    }),
  );
  t.end();
});

void t.test('laws: a difference is a partition, and what it calls narrowed is what some name loses', (t) => {
  fc.assert(
    fc.property(list, list, (before, after) => {
      const { added, kept, removed, subsumed } = difference(before, after);
      const sorted = (entries: readonly string[]): string => JSON.stringify(entries.toSorted());
      const lost = (entry: string): boolean => !isCovered(after, entry);
      return (
        sorted([...kept, ...removed, ...subsumed]) === sorted(unite(before)) &&
        sorted([...kept, ...added]) === sorted(unite(after)) &&
        removed.every(lost) &&
        ![...kept, ...subsumed].some(lost)
      );
    }),
  );
  t.end();
});

void t.test('many questions about one list get the answers of single ones', async (t) => {
  const part = fc.constantFrom('net', 'core', 'ipv4', 'tcp_a', 'sem', 'x');
  const entry = fc
    .tuple(
      fc.array(part, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('.', '/'),
      fc.constantFrom('', '*', '.*', '_*'),
    )
    .map(([parts, separator, end]) => parts.join(separator) + end);
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 6 }),
      entry,
      (list, other) => coverage(list)(other) === isCovered(list, other),
    ),
    { numRuns: 3_000 },
  );
  t.pass();
});
