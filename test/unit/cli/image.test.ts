import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { applyToImage } from '../../../agent/engine/apply-image.ts';
import { mergeForNode } from '../../../agent/policy/merge.ts';
import { policyFromFlags } from '../../../agent/policy/from-flags.ts';
import { connectNode } from '../../../agent/wire.ts';
import { run } from '../../support/cli/context.ts';

const unitPath = 'etc/systemd/system/kubelet.service';
const unit = `[Service]
ExecStart=/usr/bin/kubelet \\
  --config=/var/lib/kubelet/config.yaml \\
  --node-ip=192.0.2.1
Restart=always
KillMode=process
`;

interface Testdir {
  testdir(): string;
}

/** What an apply may have written. */
function listing(root: string): readonly unknown[] {
  return [
    readFileSync(join(root, unitPath), 'utf8'),
    existsSync(join(root, 'etc/sysctl.d/zz-kubelet-sysctl-agent.conf')),
  ];
}

function image(t: Testdir): string {
  const root = t.testdir();
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(join(root, unitPath), unit);
  return root;
}

void t.test('plan shows an image what apply would write, in 80 columns', async (t) => {
  const root = image(t);
  const { code, stdout, stderr } = await run([
    'plan',
    '--root',
    root,
    '--allow',
    'net.core.somaxconn,net.ipv4.tcp_*',
  ]);
  t.equal(stderr, '');
  t.equal(
    stdout.replaceAll(root, '/image'),
    `image      /image
           nothing runs there; only its files are looked at
unit       kubelet.service
policy     command-line
placement  Unit, in /etc/systemd/system/kubelet.service
           because /etc/systemd/system/kubelet.service is the admin's own file
           and holds the kubelet's command
           survives package upgrades and reboots

allowed unsafe sysctls
  + net.core.somaxconn
  + net.ipv4.tcp_*

placements           survives
  * Unit             package upgrades and reboots
    DropIn           package upgrades and reboots; it is made anew when the …
    EnvironmentFile  impossible: the command expands no variable
    KubeletConfig    impossible: its --config file cannot be read

warning  KUBELET_CONFIG_UNREADABLE
  cannot read the kubelet's configuration /var/lib/kubelet/config.yaml: it is
  not there
  next: if it is to hold allowedUnsafeSysctls one day, add them to the policy:
        the flag hides that list
warning  KUBELET_NOT_FOUND
  the kubelet's version is unknown, so entries must satisfy every version's
  rules

--- a/etc/systemd/system/kubelet.service
+++ b/etc/systemd/system/kubelet.service
@@ -1,6 +1,7 @@
 [Service]
 ExecStart=/usr/bin/kubelet \\
   --config=/var/lib/kubelet/config.yaml \\
-  --node-ip=192.0.2.1
+  --node-ip=192.0.2.1 \\
+  --allowed-unsafe-sysctls=net.core.somaxconn,net.ipv4.tcp_*
 Restart=always
 KillMode=process

apply would write the files below the root; nothing runs there that could be
restarted.
`,
  );
  t.equal(code, 2);
  t.equal(readFileSync(join(root, unitPath), 'utf8'), unit, 'nothing was touched');
});

void t.test(
  'apply writes an image, says that nothing was restarted, and has nothing to do the second time',
  async (t) => {
    const root = image(t);
    const first = await run(['apply', '--root', root, '--allow', 'net.core.somaxconn']);
    t.strictSame(first, {
      code: 0,
      stdout: `  wrote    /etc/systemd/system/kubelet.service
Written. Nothing runs in this image, so nothing was reloaded or restarted, and
no sysctl was set.
`,
      stderr: '',
    });
    t.equal(
      readFileSync(join(root, unitPath), 'utf8'),
      unit.replace('192.0.2.1\n', '192.0.2.1 \\\n  --allowed-unsafe-sysctls=net.core.somaxconn\n'),
    );
    const second = await run(['apply', '--root', root, '--allow', 'net.core.somaxconn']);
    t.strictSame(second, {
      code: 0,
      stdout: 'Nothing to do: the image is as the policy wants it.\n',
      stderr: '',
    });
    t.equal((await run(['plan', '--root', root, '--allow', 'net.core.somaxconn'])).code, 0);
  },
);

void t.test('a refused plan is refused by apply as well, with all its problems', async (t) => {
  const root = image(t);
  const argv = ['--root', root, '--allow', 'vm.swappiness,fs.file-max'];
  const planned = await run(['plan', ...argv]);
  t.equal(planned.code, 3);
  t.equal(planned.stdout.match(/^refused {2}ENTRY_NOT_NAMESPACED$/gm)?.length, 2);
  const applied = await run(['apply', ...argv]);
  t.equal(applied.code, 3);
  t.equal(applied.stdout, '');
  t.equal(applied.stderr.match(/^refused {2}ENTRY_NOT_NAMESPACED$/gm)?.length, 2);
  t.match(applied.stderr, /\nNothing was touched\.\n$/);
});

void t.test('status of an image compares its files with a policy', async (t) => {
  const root = image(t);
  t.equal((await run(['status', '--root', root])).code, 0);
  const { code, stdout } = await run(['status', '--root', root, '--allow', 'net.core.somaxconn']);
  t.equal(code, 2);
  t.match(stdout, "There is drift.\n  ! net.core.somaxconn is missing in the unit's files\n");
});

void t.test('an image in which the second file cannot be written keeps its first', async (t) => {
  const root = image(t);
  const node = await connectNode({ root });
  const { policies } = policyFromFlags({
    allow: ['net.core.somaxconn'],
    sysctl: ['net.core.somaxconn=1024'],
  });
  const merged = mergeForNode(policies);
  if (!merged.ok) throw new Error('the policy is good');
  const { files } = node.observation;
  const written: string[] = [];
  const failing = {
    ...files,
    async replace(...args: Parameters<typeof files.replace>) {
      if (written.length === 1) throw new Error('disk full');
      written.push(args[0]);
      return files.replace(...args);
    },
  };
  const before = listing(root);
  const outcome = await applyToImage({ ...node.observation, files: failing }, merged.policy, [], 0);
  t.match(outcome, { kind: 'refused', problems: [{ message: 'disk full' }] });
  t.equal(written.length, 1);
  t.strictSame(listing(root), before);
});

void t.test('rollback needs a running node', async (t) => {
  const { code, stderr } = await run(['rollback', '--root', image(t)]);
  t.equal(code, 3);
  t.match(stderr, 'SYSTEMD_UNREACHABLE');
});
