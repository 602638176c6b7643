import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as fc from 'fast-check';
import t, { type Test } from 'tap';
import { AgentError } from '../../agent/errors.ts';
import { hostFiles } from '../../agent/host/files.ts';
import { sha256 } from '../../agent/host/read-text.ts';
import { resolveInRoot } from '../../agent/host/resolve-in-root.ts';

const isRoot = process.getuid?.() === 0;
const tier = { skip: isRoot ? false : 'needs root: files keep their owner' };
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const ours = { mode: 0o644, uid: 0, gid: 0 };

function directory(t: Test, under = memory): string {
  const made = realpathSync(mkdtempSync(path.join(under, 'ksa-files-')));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

void t.test('no tree of links leads out of the root', async (t) => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const target = fc
    .tuple(
      fc.constantFrom('', '/', '/'),
      fc.array(fc.oneof(name, fc.constantFrom('..', '..', '.', '')), { minLength: 1, maxLength: 6 }),
    )
    .map(([start, parts]) => `${start}${parts.join('/')}` || '/');
  const link = fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), target);
  const asked = fc.array(fc.oneof(name, fc.constantFrom('..', '.')), { maxLength: 6 });
  const above = directory(t);
  let trees = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(link, { maxLength: 8 }), asked, async (links, parts) => {
      const root = path.join(above, `root${(trees += 1)}`);
      mkdirSync(root);
      for (const [where, to] of links) {
        try {
          // Below the root without following: what cannot be made because a link is in its way is left out.
          const full = path.join(root, ...where);
          if (!realpathSync(mkdirIn(root, where.slice(0, -1))).startsWith(root)) continue;
          symlinkSync(to, full);
        } catch {
          continue;
        }
      }
      try {
        const real = await resolveInRoot(root, `/${parts.join('/')}`);
        const inside = real === root || real.startsWith(`${root}/`);
        // Nothing on the way is a link any more: opening it follows none.
        const followed = real
          .slice(root.length)
          .split('/')
          .filter(Boolean)
          .reduce<{ at: string; link: boolean }>(
            ({ at, link: seen }, part) => {
              const next = path.join(at, part);
              return {
                at: next,
                link: seen || lstatSync(next, { throwIfNoEntry: false })?.isSymbolicLink() === true,
              };
            },
            { at: root, link: false },
          ).link;
        return inside && !followed;
      } catch (error) {
        return error instanceof AgentError && error.code === 'FILE_UNSAFE';
      } finally {
        rmSync(root, { recursive: true });
      }
    }),
    { numRuns: 300 },
  );
});

/** Makes the directories of a path, as long as none of them is a link. */
function mkdirIn(root: string, parts: readonly string[]): string {
  let at = root;
  for (const part of parts) {
    at = path.join(at, part);
    if (lstatSync(at, { throwIfNoEntry: false }) === undefined) mkdirSync(at);
    if (!lstatSync(at).isDirectory()) throw new Error('in the way');
  }
  return at;
}

void t.test('links are followed as the host itself would', async (t) => {
  const root = directory(t);
  mkdirSync(path.join(root, 'usr/lib'), { recursive: true });
  symlinkSync('usr/lib', path.join(root, 'lib'));
  symlinkSync('/usr/lib/x.service', path.join(root, 'absolute'));
  symlinkSync('../../../../etc/passwd', path.join(root, 'usr/above'));
  symlinkSync('two', path.join(root, 'one'));
  symlinkSync('one', path.join(root, 'two'));
  t.equal(await resolveInRoot(root, '/lib/x.service'), path.join(root, 'usr/lib/x.service'));
  t.equal(await resolveInRoot(root, '/absolute'), path.join(root, 'usr/lib/x.service'));
  t.equal(await resolveInRoot(root, '/usr/above'), path.join(root, 'etc/passwd'));
  t.equal(await resolveInRoot(root, '/lib/../x'), path.join(root, 'usr/x'), '.. is that of the target');
  await t.rejects(resolveInRoot(root, '/one'), { code: 'FILE_UNSAFE' });
});

void t.test('a file is read byte for byte, also a byte order mark and CRLF', async (t) => {
  const root = directory(t);
  const text = '\uFEFF[Unit]\r\n\r\nX=\t ä \\\r\n \0 \n';
  writeFileSync(path.join(root, 'x'), text);
  const file = await hostFiles(root).read('/x');
  t.equal(file?.text, text);
  t.equal(file?.sha256, sha256(text));
  t.equal(file?.realPath, '/x');
});

void t.test('what is no readable text is never taken for an empty or a missing file', async (t) => {
  const root = directory(t);
  const files = hostFiles(root);
  mkdirSync(path.join(root, 'directory'));
  execFileSync('mkfifo', [path.join(root, 'fifo')]);
  symlinkSync('/directory', path.join(root, 'link'));
  writeFileSync(path.join(root, 'latin1'), Buffer.from([0x67, 0xfc, 0x0a]));
  writeFileSync(path.join(root, 'huge'), Buffer.alloc(4 * 1024 * 1024 + 1));
  await t.rejects(files.read('/directory'), { code: 'FILE_UNSAFE' });
  await t.rejects(files.read('/link'), { code: 'FILE_UNSAFE' });
  await t.rejects(files.read('/fifo'), { code: 'FILE_UNSAFE' }, 'and nobody waits for a writer');
  await t.rejects(files.read('/latin1'), { code: 'UNIT_UNREADABLE' });
  await t.rejects(files.read('/huge'), { code: 'UNIT_UNREADABLE' });
  t.equal(await files.read('/missing'), undefined);
  t.equal(await files.read('/latin1/below'), undefined);
  for (const name of ['/directory', '/fifo']) {
    await t.rejects(files.replace(name, 'x', ours, null), { code: 'FILE_UNSAFE' });
  }
  t.strictSame(readdirSync(root).toSorted(), ['directory', 'fifo', 'huge', 'latin1', 'link']);
});

void t.test(
  'a replaced file has the new bytes, the wanted mode and owner, and nothing beside it',
  tier,
  async (t) => {
    const root = directory(t);
    const files = hostFiles(root);
    const full = path.join(root, 'unit');
    writeFileSync(full, 'old\r\n');
    chownSync(full, 12, 34);
    chmodSync(full, 0o4640);
    const before = await files.read('/unit');
    t.ok(before);
    if (before === undefined) return;
    await files.replace('/unit', '\uFEFFnew\r\n', before, 'old\r\n');
    const info = statSync(full);
    t.strictSame([info.mode & 0o7777, info.uid, info.gid], [0o4640, 12, 34]);
    t.equal(readFileSync(full, 'utf8'), '\uFEFFnew\r\n');
    t.strictSame(readdirSync(root), ['unit']);
  },
);

void t.test('the mode does not depend on the umask', tier, async (t) => {
  const root = directory(t);
  const old = process.umask(0o077);
  t.teardown(() => process.umask(old));
  await hostFiles(root).replace('/etc/new.d/x.conf', 'x', ours, null);
  t.equal(statSync(path.join(root, 'etc/new.d/x.conf')).mode & 0o777, 0o644);
});

void t.test('a file that somebody changed, made or removed meanwhile is left as it is', tier, async (t) => {
  const root = directory(t);
  const files = hostFiles(root);
  writeFileSync(path.join(root, 'unit'), 'theirs');
  await t.rejects(files.replace('/unit', 'ours', ours, 'what we read'), { code: 'FILE_CHANGED' });
  await t.rejects(files.replace('/unit', 'ours', ours, null), { code: 'FILE_CHANGED' });
  await t.rejects(files.remove('/unit', 'what we read'), { code: 'FILE_CHANGED' });
  await t.rejects(files.replace('/gone', 'ours', ours, 'what we read'), { code: 'FILE_CHANGED' });
  t.equal(readFileSync(path.join(root, 'unit'), 'utf8'), 'theirs');
  t.strictSame(readdirSync(root), ['unit']);
});

void t.test('a change in the very last moment before the rename is noticed', tier, async (t) => {
  const root = directory(t);
  const full = path.join(root, 'unit');
  writeFileSync(full, 'old');
  const files = hostFiles(root, async () => Promise.resolve(writeFileSync(full, 'theirs')));
  await t.rejects(files.replace('/unit', 'ours', ours, 'old'), { code: 'FILE_CHANGED' });
  t.equal(readFileSync(full, 'utf8'), 'theirs');
  t.strictSame(readdirSync(root), ['unit']);
});

void t.test('where the label cannot be kept nothing is replaced', tier, async (t) => {
  const root = directory(t);
  writeFileSync(path.join(root, 'unit'), 'old');
  const files = hostFiles(root, async () => Promise.reject(new AgentError('FILE_WRITE_FAILED', 'no label')));
  await t.rejects(files.replace('/unit', 'ours', ours, 'old'), { code: 'FILE_WRITE_FAILED' });
  t.equal(readFileSync(path.join(root, 'unit'), 'utf8'), 'old');
  t.strictSame(readdirSync(root), ['unit']);
});

void t.test('a link is written through; it stays a link', tier, async (t) => {
  const root = directory(t);
  mkdirSync(path.join(root, 'srv'));
  writeFileSync(path.join(root, 'srv/real'), 'old');
  symlinkSync('/srv/real', path.join(root, 'unit'));
  const files = hostFiles(root);
  t.equal((await files.read('/unit'))?.realPath, '/srv/real');
  await files.replace('/unit', 'new', ours, 'old');
  t.equal(readlinkSync(path.join(root, 'unit')), '/srv/real');
  t.equal(readFileSync(path.join(root, 'srv/real'), 'utf8'), 'new');
  await files.discard('/unit');
  t.equal(
    readFileSync(path.join(root, 'srv/real'), 'utf8'),
    'new',
    'discarding a link does not touch its target',
  );
});

void t.test('the kept file is the old one itself, and comes back whole', tier, async (t) => {
  const root = directory(t);
  const files = hostFiles(root);
  const full = path.join(root, 'unit');
  writeFileSync(full, 'old', { mode: 0o600 });
  chownSync(full, 12, 34);
  linkSync(full, path.join(root, 'another name'));
  const { ino } = statSync(full);
  await files.keepPrevious('/unit', '/.unit.kept');
  await files.keepPrevious('/unit', '/.unit.kept');
  await files.replace('/unit', 'new', ours, 'old');
  t.equal(readFileSync(path.join(root, '.unit.kept'), 'utf8'), 'old');
  t.equal(readFileSync(path.join(root, 'another name'), 'utf8'), 'old', 'its other names do not change');
  t.equal(await files.restorePrevious('/unit', '/.unit.kept'), true);
  t.equal(statSync(full).ino, ino);
  t.equal(await files.restorePrevious('/unit', '/.unit.kept'), false, 'only once');
  t.equal(readFileSync(full, 'utf8'), 'old');
});

const otherDisk = memory !== tmpdir() && statSync(memory).dev !== statSync(tmpdir()).dev;

void t.test(
  'where a hard link cannot be had the kept file is a copy with mode, owner and time',
  { skip: isRoot ? (otherDisk ? false : 'needs two file systems') : 'needs root' },
  async (t) => {
    const [here, there] = [directory(t, memory), directory(t, tmpdir())];
    const files = hostFiles('/');
    const full = path.join(here, 'unit');
    writeFileSync(full, 'old');
    chownSync(full, 12, 34);
    chmodSync(full, 0o640);
    utimesSync(full, 1_600_000_000, 1_600_000_000);
    await files.keepPrevious(full, path.join(there, '.kept'));
    const [was, kept] = [statSync(full), statSync(path.join(there, '.kept'))];
    t.not(kept.dev, was.dev);
    t.strictSame([kept.mode, kept.uid, kept.gid, kept.mtimeMs], [was.mode, was.uid, was.gid, was.mtimeMs]);
    t.strictSame(readdirSync(there), ['.kept']);
  },
);

void t.test('what is discarded or tidied twice is no error', async (t) => {
  const root = directory(t);
  const files = hostFiles(root);
  await files.discard('/missing');
  await files.discard('/missing/below');
  mkdirSync(path.join(root, 'full'));
  writeFileSync(path.join(root, 'full/x'), '');
  await files.removeEmptyDirectory('/full');
  await files.removeEmptyDirectory('/missing');
  t.ok(existsSync(path.join(root, 'full/x')));
  await files.symlink('../x', '/a/b/link');
  await files.symlink('../y', '/a/b/link');
  t.equal(readlinkSync(path.join(root, 'a/b/link')), '../y');
});

const canMount = isRoot && spawnSync('unshare', ['-m', 'true']).status === 0;
const mounts = { skip: canMount ? false : 'needs root and the right to mount' };

/** A small file system of its own, gone when the test is over. */
function disk(t: Test, options: string): string {
  const where = directory(t);
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', where]);
  t.teardown(() => execFileSync('umount', ['-l', where]));
  return where;
}

void t.test('a full disk leaves the old file whole and no temporary one', mounts, async (t) => {
  const root = disk(t, 'size=64k');
  writeFileSync(path.join(root, 'unit'), 'old');
  const files = hostFiles(root);
  await t.rejects(files.replace('/unit', 'x'.repeat(200_000), ours, 'old'), {
    code: 'FILE_WRITE_FAILED',
    message: /ENOSPC/,
  });
  t.equal(readFileSync(path.join(root, 'unit'), 'utf8'), 'old');
  t.strictSame(readdirSync(root), ['unit']);
});

void t.test('on a full disk the kept file still comes back: that needs no room', mounts, async (t) => {
  const root = disk(t, 'size=64k');
  const files = hostFiles(root);
  writeFileSync(path.join(root, 'unit'), 'old');
  await files.keepPrevious('/unit', '/.kept');
  await files.replace('/unit', 'new', ours, 'old');
  t.throws(() => writeFileSync(path.join(root, 'filler'), Buffer.alloc(100_000)), { code: 'ENOSPC' });
  t.equal(await files.restorePrevious('/unit', '/.kept'), true);
  t.equal(readFileSync(path.join(root, 'unit'), 'utf8'), 'old');
});

void t.test('a read-only file system is named as such, and nothing is tried twice', mounts, async (t) => {
  const root = disk(t, 'size=64k');
  writeFileSync(path.join(root, 'unit'), 'old');
  execFileSync('mount', ['-o', 'remount,ro', root]);
  const files = hostFiles(root);
  t.equal(await files.isWritable('/'), false);
  t.equal((await files.read('/unit'))?.writable, false);
  await t.rejects(files.replace('/unit', 'new', ours, 'old'), { code: 'NODE_READ_ONLY' });
  await t.rejects(files.remove('/unit', 'old'), { code: 'NODE_READ_ONLY' });
  await t.rejects(files.keepPrevious('/unit', '/.kept'), { code: 'NODE_READ_ONLY' });
  t.equal(readFileSync(path.join(root, 'unit'), 'utf8'), 'old');
});
