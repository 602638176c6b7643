import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type Test } from 'tap';
import { watchFiles, type WatchTarget } from '../../agent/host/file-watch.ts';
import { waitFor } from '../node/support/wait.ts';

/** A watch over a scratch root; `notices` says whether a change is noticed, by inotify and by comparing files. */
function scratch(t: Test): {
  root: string;
  notices: (targets: readonly WatchTarget[], change: () => void) => Promise<void>;
} {
  const root = mkdtempSync(join(tmpdir(), 'watch-'));
  t.teardown(() => {
    rmSync(root, { recursive: true, force: true });
  });
  return {
    root,
    async notices(targets, change) {
      let told = 0;
      const watch = watchFiles(() => {
        told += 1;
      });
      try {
        t.match(await watch.update(targets), { unwatched: 0 });
        t.equal(watch.changed(), false, 'nothing has changed yet');
        change();
        await waitFor(() => told > 0, { what: 'a notice', deadlineMs: 5000 });
        await watch.update(targets);
      } finally {
        watch.close();
      }
    },
  };
}

void test('a file that is edited, replaced, removed or made is noticed', async (t) => {
  const { root, notices } = scratch(t);
  mkdirSync(join(root, 'etc/unit'), { recursive: true });
  const file = join(root, 'etc/unit/kubelet.service');
  const targets: WatchTarget[] = [{ path: '/etc/unit/kubelet.service', kind: 'file', root }];
  writeFileSync(file, 'one');
  await notices(targets, () => {
    writeFileSync(file, 'two');
  });
  await notices(targets, () => {
    writeFileSync(`${file}.new`, 'three');
    renameSync(`${file}.new`, file);
  });
  await notices(targets, () => {
    unlinkSync(file);
  });
  await notices(targets, () => {
    writeFileSync(file, 'four');
  });
});

void test('a directory that is not there yet is noticed when it comes, and then what is put into it', async (t) => {
  const { root, notices } = scratch(t);
  mkdirSync(join(root, 'etc'));
  const targets: WatchTarget[] = [{ path: '/etc/unit/kubelet.service.d', kind: 'directory', root }];
  await notices(targets, () => {
    mkdirSync(join(root, 'etc/unit/kubelet.service.d'), { recursive: true });
  });
  await notices(targets, () => {
    writeFileSync(join(root, 'etc/unit/kubelet.service.d/90-any.conf'), '');
  });
  await notices(targets, () => {
    rmSync(join(root, 'etc/unit/kubelet.service.d'), { recursive: true });
  });
});

void test('a directory that was replaced by another one of its name is watched anew', async (t) => {
  const { root } = scratch(t);
  const directory = join(root, 'conf');
  mkdirSync(directory);
  let told = 0;
  const watch = watchFiles(() => {
    told += 1;
  });
  t.teardown(() => {
    watch.close();
  });
  const targets: WatchTarget[] = [{ path: '/conf', kind: 'directory', root }];
  await watch.update(targets);
  renameSync(directory, join(root, 'old'));
  mkdirSync(directory);
  await waitFor(() => told > 0, { what: 'the swap to be noticed' });
  t.equal((await watch.update(targets)).added, 1);
  told = 0;
  writeFileSync(join(directory, 'new.conf'), '');
  await waitFor(() => told > 0, { what: 'a file in the new directory to be noticed' });
});

void test('the swap of a mounted ConfigMap is noticed, for the directory and for one file in it', async (t) => {
  for (const path of ['/cm', '/cm/policy.yaml']) {
    const { root, notices } = scratch(t);
    const mounted = join(root, 'cm');
    mkdirSync(join(mounted, '..first'), { recursive: true });
    mkdirSync(join(mounted, '..second'));
    writeFileSync(join(mounted, '..first/policy.yaml'), 'one');
    writeFileSync(join(mounted, '..second/policy.yaml'), 'two');
    symlinkSync('..first', join(mounted, '..data'));
    symlinkSync('..data/policy.yaml', join(mounted, 'policy.yaml'));
    await notices([{ path, kind: 'directory', root }], () => {
      symlinkSync('..second', join(mounted, '..data_tmp'));
      renameSync(join(mounted, '..data_tmp'), join(mounted, '..data'));
    });
  }
});

void test('links are followed below the root, and both their ends are watched', async (t) => {
  const { root, notices } = scratch(t);
  mkdirSync(join(root, 'etc/real'), { recursive: true });
  writeFileSync(join(root, 'etc/real/file'), 'one');
  symlinkSync('/etc/real/file', join(root, 'etc/link'));
  const targets: WatchTarget[] = [{ path: '/etc/link', kind: 'file', root }];
  await notices(targets, () => {
    writeFileSync(join(root, 'etc/real/file'), 'two');
  });
  await notices(targets, () => {
    unlinkSync(join(root, 'etc/link'));
  });
});

void test('without inotify a change shows when it is asked for, once', async (t) => {
  const { root } = scratch(t);
  writeFileSync(join(root, 'file'), 'one');
  const watch = watchFiles(() => undefined);
  t.teardown(() => {
    watch.close();
  });
  await watch.update([
    { path: '/file', kind: 'file', root },
    { path: '/none', kind: 'file', root },
  ]);
  t.equal(watch.changed(), false);
  writeFileSync(join(root, 'file'), 'longer');
  t.equal(watch.changed(), true);
  t.equal(watch.changed(), false);
  writeFileSync(join(root, 'none'), '');
  t.equal(watch.changed(), true);
});
