import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execaSync } from 'execa';
import { test } from 'tap';
import type { Test } from 'tap';
import { systemCommands } from '../../agent/host/commands.ts';
import { hostFiles } from '../../agent/host/files.ts';
import { selinuxRelabel } from '../../agent/host/relabel.ts';
import { fakeCommands } from '../support/host/commands.ts';

const label = 'system_u:object_r:systemd_unit_file_t:s0';
const root = { mode: 0o644, uid: 0, gid: 0 };

function directory(t: Test): string {
  const made = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ksa-label-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Any file stands for the one by which a host with SELinux is known. */
const withSelinux = import.meta.filename;

void test('the label is asked for on the host, whose policy it belongs to', async (t) => {
  const ok = fakeCommands({
    chcon: () => ({ kind: 'exited', code: 0, stdout: '', stderr: '' }),
    nsenter: () => ({ kind: 'exited', code: 0, stdout: '', stderr: '' }),
  });
  await selinuxRelabel(ok, '/', withSelinux)('/etc/.new', '/etc/old');
  await selinuxRelabel(ok, '/host', withSelinux)('/host/etc/.new', '/host/etc/old');
  t.same(
    ok.calls.map(({ file, args }) => [file, ...args]),
    [
      ['chcon', '--reference=/etc/old', '/etc/.new'],
      ['nsenter', '--mount=/proc/1/ns/mnt', '--', 'chcon', '--reference=/etc/old', '/etc/.new'],
    ],
  );
});

void test('a host without SELinux is asked nothing', async (t) => {
  const none = fakeCommands({});
  await selinuxRelabel(none, '/', '/nowhere/enforce')('/etc/.new', '/etc/old');
  t.same(none.calls, []);
});

void test('a file that has no label has none to keep; every other failure stops the write', async (t) => {
  const says = (stderr: string): ReturnType<typeof selinuxRelabel> =>
    selinuxRelabel(
      fakeCommands({ chcon: () => ({ kind: 'exited', code: 1, stdout: '', stderr }) }),
      '/',
      withSelinux,
    );
  await says("chcon: failed to get security context of '/etc/old': Operation not supported\n")(
    '/a',
    '/etc/old',
  );
  await says("chcon: failed to get security context of '/etc/old': No data available\n")('/a', '/etc/old');
  const denied = "chcon: failed to change context of '/a' to 'x': Permission denied";
  await t.rejects(says(`${denied}\n`)('/a', '/etc/old'), {
    code: 'FILE_WRITE_FAILED',
    message: `could not give /a the SELinux label of /etc/old: ${denied}`,
  });
  await t.rejects(selinuxRelabel(fakeCommands({}), '/', withSelinux)('/a', '/etc/old'), {
    code: 'FILE_WRITE_FAILED',
    message: 'could not give /a the SELinux label of /etc/old: notFound',
  });
});

void test('a label that the host gave survives a write, and going back', { skip: noLabels() }, async (t) => {
  const where = directory(t);
  const [unit, kept] = [path.join(where, 'kubelet.service'), path.join(where, '.kubelet.service.kept')];
  writeFileSync(unit, 'old\n');
  setLabel(unit);
  const files = hostFiles('/', selinuxRelabel(systemCommands, '/', withSelinux));
  await files.keepPrevious(unit, kept);
  await files.replace(unit, 'new\n', root, 'old\n');
  t.equal(readFileSync(unit, 'utf8'), 'new\n');
  t.equal(labelOf(unit), label, 'the new file has the label of the old one');
  t.ok(await files.restorePrevious(unit, kept));
  t.equal(readFileSync(unit, 'utf8'), 'old\n');
  t.equal(labelOf(unit), label);
});

void test(
  'a file without a label is replaced on a host with SELinux too',
  { skip: noLabels() },
  async (t) => {
    const unit = path.join(directory(t), 'kubelet.service');
    writeFileSync(unit, 'old\n');
    const files = hostFiles('/', selinuxRelabel(systemCommands, '/', withSelinux));
    await files.replace(unit, 'new\n', root, 'old\n');
    t.equal(readFileSync(unit, 'utf8'), 'new\n');
  },
);

/** Why no file here can have a label; labels are kept by the file system, with or without SELinux in the kernel. */
function noLabels(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  const where = mkdtempSync(path.join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ksa-label-'));
  try {
    const file = path.join(where, 'file');
    writeFileSync(file, '');
    setLabel(file);
    return labelOf(file) === label ? false : 'needs chcon and a file system with labels';
  } catch {
    return 'needs chcon and a file system with labels';
  } finally {
    rmSync(where, { recursive: true, force: true });
  }
}

function setLabel(file: string): void {
  execaSync('chcon', ['--no-dereference', label, file]);
}

function labelOf(file: string): string {
  return execaSync('stat', ['-c', '%C', file], { reject: false }).stdout.trim();
}
