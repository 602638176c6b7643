// What somebody without root may have left on a node, or what an image may hold, must not lead our writes astray.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { hostFiles } from '../../../agent/host/files.ts';
import { resolveInRoot } from '../../../agent/host/resolve-in-root.ts';
import { hostStateDirectory } from '../../../agent/host/state-directory.ts';

const identity = { pid: process.pid, bootId: 'boot', startTicks: '1', isAlive: () => true };
const root600 = { mode: 0o644, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const asRoot = process.getuid?.() === 0 ? false : 'needs root to make files of another owner';

void t.test('a planted link never leads out of the root', async (t) => {
  const outside = t.testdir({ secret: 'secret', root: { etc: { systemd: { system: {} } } } });
  const root = path.join(outside, 'root');
  const units = path.join(root, 'etc/systemd/system');
  symlinkSync('../../../../secret', path.join(units, 'up.service'));
  symlinkSync(path.join(outside, 'secret'), path.join(units, 'absolute.service'));
  symlinkSync('/etc/systemd/system/loop.service', path.join(units, 'loop.service'));
  const files = hostFiles(root);
  for (const name of ['up.service', 'absolute.service']) {
    const hostPath = `/etc/systemd/system/${name}`;
    const real = await resolveInRoot(root, hostPath);
    t.ok(real.startsWith(`${root}/`), real);
    t.equal(await files.read(hostPath), undefined, 'there is no such file below the root');
    await files.replace(hostPath, 'ours', root600, null);
    t.equal(readFileSync(real, 'utf8'), 'ours');
  }
  t.equal(readFileSync(path.join(outside, 'secret'), 'utf8'), 'secret', 'what lies outside is untouched');
  await t.rejects(files.read('/etc/systemd/system/loop.service'), { code: 'FILE_UNSAFE' });
});

void t.test('a pipe or a directory in a unit’s place is refused, without waiting for a writer', async (t) => {
  const root = t.testdir({ etc: { 'directory.service': {} } });
  execFileSync('mkfifo', [path.join(root, 'etc/pipe.service')]);
  await t.rejects(hostFiles(root).read('/etc/pipe.service'), { code: 'FILE_UNSAFE' });
  await t.rejects(hostFiles(root).read('/etc/directory.service'), { code: 'FILE_UNSAFE' });
});

void t.test('a file that changed since it was read is left alone, and no temporary file stays', async (t) => {
  const root = t.testdir({ etc: { 'kubelet.service': 'theirs' } });
  await t.rejects(hostFiles(root).replace('/etc/kubelet.service', 'ours', root600, 'what we read'), {
    code: 'FILE_CHANGED',
  });
  t.equal(readFileSync(path.join(root, 'etc/kubelet.service'), 'utf8'), 'theirs');
  t.strictSame(readdirSync(path.join(root, 'etc')), ['kubelet.service']);
});

void t.test('a state directory that anybody else could write to is refused', async (t) => {
  const prepared = (): { readonly root: string; readonly state: string } => {
    const root = t.testdir({ var: { lib: { 'kubelet-sysctl-agent': {} } } });
    return { root, state: path.join(root, 'var/lib/kubelet-sysctl-agent') };
  };
  for (const mode of [0o777, 0o775, 0o757, 0o1777]) {
    const { root, state } = prepared();
    chmodSync(state, mode);
    await t.rejects(hostStateDirectory(root, identity), { code: 'STATE_DIRECTORY_UNSAFE' }, mode.toString(8));
    t.strictSame(readdirSync(state), [], 'nothing was written there');
  }
  const open = prepared();
  chmodSync(path.dirname(open.state), 0o777);
  await t.rejects(hostStateDirectory(open.root, identity), { code: 'STATE_DIRECTORY_UNSAFE' }, 'its parent');
});

void t.test('a state directory of another owner is refused', { skip: asRoot }, async (t) => {
  const root = t.testdir({ var: { lib: { 'kubelet-sysctl-agent': {} } } });
  chownSync(path.join(root, 'var/lib/kubelet-sysctl-agent'), 65534, 65534);
  await t.rejects(hostStateDirectory(root, identity), { code: 'STATE_DIRECTORY_UNSAFE' });
});

void t.test('a state directory that is a link is refused, and where it leads to stays empty', async (t) => {
  const root = t.testdir({ var: { lib: {} }, elsewhere: {} });
  symlinkSync('/elsewhere', path.join(root, 'var/lib/kubelet-sysctl-agent'));
  await t.rejects(hostStateDirectory(root, identity), { code: 'STATE_DIRECTORY_UNSAFE' });
  t.strictSame(readdirSync(path.join(root, 'elsewhere')), []);
});

void t.test('a link planted inside the state directory is replaced, not followed', async (t) => {
  const root = t.testdir({ victim: 'victim', var: { lib: {} } });
  const state = await hostStateDirectory(root, identity);
  const inside = path.join(root, 'var/lib/kubelet-sysctl-agent');
  symlinkSync(path.join(root, 'victim'), path.join(inside, 'latch.json'));
  await state.writeLatch({ planHash: 'x', code: 'INTERNAL', message: 'm', sinceMs: 0, transaction: 't' });
  t.ok(lstatSync(path.join(inside, 'latch.json')).isFile());
  symlinkSync(path.join(root, 'victim'), path.join(inside, 'audit.jsonl'));
  await t.rejects(state.audit({} as never), 'the audit log does not follow a link');
  t.equal(readFileSync(path.join(root, 'victim'), 'utf8'), 'victim');
  t.ok(existsSync(path.join(inside, 'backup')));
  t.equal(lstatSync(inside).mode & 0o077, 0, 'made by us, it is ours alone');
});

void t.test('no name of a backup leaves its directory', async (t) => {
  const root = t.testdir({ var: { lib: {} } });
  const state = await hostStateDirectory(root, identity);
  for (const name of ['../x', '/x', '.', '..', 'a/b', ''])
    await t.rejects(state.saveBackup('20260101', name, 'x', { ...root600 }), JSON.stringify(name));
  mkdirSync(path.join(root, 'etc'));
  writeFileSync(path.join(root, 'etc/x'), '');
  await t.rejects(state.readBackup('../../..', 'etc'));
});
