import { existsSync, readdirSync } from 'node:fs';
import { execa } from 'execa';
import { test } from 'tap';
import { readLayout } from './support/layout.ts';
import { sweepLeftovers } from './support/leftovers.ts';
import { bootNode, nodeTierUnavailable, waitFor } from './support/node.ts';
import { layoutsDirectory, nodesDirectory } from './support/project.ts';

const skip = nodeTierUnavailable() ?? false;

for (const layout of ['icp', 'kubeadm']) {
  void test(`a ${layout} node boots, runs its kubelet and survives a power cut`, { skip }, async (t) => {
    const node = await bootNode({ layout }, t);

    t.equal(await node.property('ActiveState'), 'active');
    t.same(await node.healthz(), { status: 200, body: 'ok' });
    const answer = await node.admit('net.core.somaxconn=512');
    t.equal(answer.admitted, false);
    // The words are those of the version; the stand-in of this layout claims to be 1.11.
    const words =
      layout === 'icp' && !node.real ? ['Pod ', 'whitelisted'] : ['Pod was rejected: ', 'allowlisted'];
    const message = `${words[0]}forbidden sysctl: "net.core.somaxconn" not ${words[1]}\nSysctlForbidden`;
    if (node.real)
      t.match(
        answer.message,
        /forbidden sysctl: "net.core.somaxconn" not (allow|white)listed\nSysctlForbidden$/,
      );
    else t.equal(answer.message, message);

    const boot = await node.bootId();
    node.write('/etc/kept', 'over a power cut');
    node.write('/run/lost', 'with the power');
    await node.powerCut();
    t.not(await node.bootId(), boot);
    t.equal(node.read('/etc/kept').toString(), 'over a power cut');
    t.notOk(node.exists('/run/lost'));
    t.same(await node.healthz(), { status: 200, body: 'ok' });
  });
}

void test('every layout boots as it says, several nodes at a time', { skip }, async (t) => {
  const names = readdirSync(layoutsDirectory);
  const boot = async (name: string): Promise<void> => {
    const node = await bootNode({ layout: name });
    const { active } = readLayout(name);
    t.equal(await node.property('ActiveState'), active ? 'active' : 'inactive', name);
    t.equal(await node.property('NRestarts'), '0', name);
    await node.dispose();
  };
  const queue = names.values();
  const worker = async (): Promise<void> => {
    for (const name of queue) await boot(name);
  };
  await Promise.all([worker(), worker(), worker()]);
  t.ok(names.length >= 15);
});

void test('the flag written into the unit, a reload and a restart admit the pod', { skip }, async (t) => {
  const node = await bootNode({ layout: 'icp' }, t);
  const path = '/etc/systemd/system/kubelet.service';
  const unit = node.read(path).toString();
  const last = /^ {2}--\S+$/m; // the one whose line does not go on
  node.write(
    path,
    unit.replace(last, (flag) => `${flag} \\\n  --allowed-unsafe-sysctls=net.core.somaxconn`),
  );
  await node.systemctl('daemon-reload');
  await node.systemctl('restart', 'kubelet');
  await node.waitForKubelet();
  t.same(await node.admit('net.core.somaxconn=512'), { admitted: true, message: 'Running' });
});

void test('a node can lose its bus, its free space and the right to write', { skip }, async (t) => {
  const node = await bootNode({ layout: 'kubeadm' }, t);
  const bus = async (): Promise<number> => (await node.exec(['busctl', 'status'])).code;
  const write = async (path: string): Promise<string> => {
    return (await node.exec(['dd', 'if=/dev/zero', `of=${path}`, 'bs=20000', 'count=1'])).stderr;
  };

  await node.stopDBus();
  t.not(await bus(), 0);
  t.equal(await node.property('ActiveState'), 'active', 'systemd answers on its private socket');
  await node.startDBus();
  t.equal(await bus(), 0);

  const writable = await node.makeReadOnly('/etc');
  t.match(await write('/etc/file'), 'Read-only file system');
  await writable();
  t.match(await write('/etc/file'), '20000 bytes');

  node.fillDisk();
  t.match(await write('/var/lib/file'), 'No space left on device');
  await node.powerCut();
  t.match(await write('/var/lib/file'), 'No space left on device', 'a full disk stays full');
  node.emptyDisk();
  t.match(await write('/var/lib/file'), '20000 bytes');
});

void test('a command can be killed in the node, and a late one fails', { skip }, async (t) => {
  const node = await bootNode({ layout: 'masked', kubelet: 'standin' }, t);
  const sleeping = await node.spawn(['sleep', 'infinity']);
  await node.waitFor(async () => (await node.exec(['pgrep', '-c', 'sleep'])).stdout === '1\n', {
    what: 'the command to run in the node',
  });
  sleeping.kill();
  t.equal((await sleeping.result).code, 137);
  t.match(await node.exec(['pgrep', '-c', 'sleep']), { code: 1, stdout: '0\n' });
  await t.rejects(node.exec(['sleep', 'infinity'], { deadlineMs: 50 }), {
    message: /^sleep infinity did not end in 50 ms/,
  });
  t.match(
    await node.exec(['sh', '-c', 'cat; echo "$WORD" >&2; exit 3'], { input: 'in', env: { WORD: 'w' } }),
    {
      code: 3,
      stdout: 'in',
      stderr: 'w\n',
    },
  );
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  void test(`a test process that ends by ${signal} leaves no node behind`, { skip }, async (t) => {
    const support = new URL('support/node.ts', import.meta.url);
    const script = `const { bootNode } = await import(${JSON.stringify(support.href)});
      const node = await bootNode({ layout: 'masked' });
      console.log(node.name, node.pid);
      setInterval(() => undefined, 1000);`;
    const owner = execa(process.execPath, ['--input-type=module', '-e', script], { reject: false });
    let said = '';
    owner.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [name, pid] = await waitFor(() => said.includes('\n') && said.trim().split(' '), {
      what: 'a node',
    });
    t.ok(existsSync(`/proc/${pid}`));
    owner.kill(signal);
    t.equal((await owner).signal, signal);
    await waitFor(() => !existsSync(`/proc/${pid}`), { what: 'the node to die with its owner' });
    if (signal === 'SIGKILL') sweepLeftovers();
    t.notOk(existsSync(`${nodesDirectory}/${name}`));
    t.notMatch((await execa('mount')).stdout, `${name}`);
    t.same(
      ['systemd', 'unified', '.'].filter((part) => existsSync(`/sys/fs/cgroup/${part}/${name}`)),
      [],
      'no control group is left',
    );
  });
}
