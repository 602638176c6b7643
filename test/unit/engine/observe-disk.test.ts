import { test } from 'tap';
import { readSysctlFiles, readUnitOnDisk } from '../../../agent/engine/observe-disk.ts';
import { sourceOf } from '../../../agent/sysctl/sysctl-d.ts';
import { memoryFiles } from '../plan/support/memory-files.ts';
import { runningNode } from '../plan/support/node.ts';

const unitPath = '/etc/systemd/system/kubelet.service';

void test('a masked sysctl.d file hides the one of its name, and one that is no text hides nothing', async (t) => {
  const files = await readSysctlFiles(
    memoryFiles({
      '/etc/sysctl.d/10-vendor.conf': { link: '/dev/null' },
      '/usr/lib/sysctl.d/10-vendor.conf': 'vm.swappiness = 1\n',
      '/etc/sysctl.d/20-broken.conf': 'vm.swappiness = \uFFFD\n',
      '/etc/sysctl.d/30-note.txt': 'vm.swappiness = 3\n',
      '/usr/lib/sysctl.d/40-more.conf': 'vm.max_map_count = 4\n',
      '/etc/sysctl.conf': 'kernel.panic = 5\n',
    }),
  );
  t.strictSame(
    files.map(({ path }) => path),
    [
      '/etc/sysctl.d/10-vendor.conf',
      '/usr/lib/sysctl.d/10-vendor.conf',
      '/usr/lib/sysctl.d/40-more.conf',
      '/etc/sysctl.conf',
    ],
  );
  t.equal(sourceOf('vm.swappiness', files), undefined, 'nothing sets it at boot');
  t.match(sourceOf('vm.max_map_count', files), { path: '/usr/lib/sysctl.d/40-more.conf', value: '4' });
  t.match(sourceOf('kernel.panic', files), { path: '/etc/sysctl.conf', value: '5' });
});

void test('the unit on disk is what the directories hold now, in load order', async (t) => {
  const loaded = { [unitPath]: '[Service]\nExecStart=/usr/bin/kubelet --v=1\n' };
  const observed = await runningNode(loaded);
  const now = {
    [unitPath]: '[Service]\nExecStart=/usr/bin/kubelet --v=2\n',
    '/etc/systemd/system/kubelet.service.d/20-b.conf': '[Service]\n',
    '/run/systemd/system/kubelet.service.d/10-a.conf': '[Service]\n',
  };
  const found = await readUnitOnDisk(memoryFiles(now), observed);
  t.strictSame(
    found?.map(({ path }) => path),
    [
      unitPath,
      '/run/systemd/system/kubelet.service.d/10-a.conf',
      '/etc/systemd/system/kubelet.service.d/20-b.conf',
    ],
  );
  t.match(found?.[0]?.text, '--v=2');
});

void test('a unit that is masked, gone or no text is unknown on disk', async (t) => {
  const observed = await runningNode({ [unitPath]: '[Service]\nExecStart=/usr/bin/kubelet\n' });
  const cases = [{ [unitPath]: { link: '/dev/null' } }, {}, { [unitPath]: '[Service]\n\uFFFD\n' }];
  for (const files of cases) t.equal(await readUnitOnDisk(memoryFiles(files), observed), undefined);
});
