// The story of scripts/demo: each paragraph is a sentence, a command and what it really printed.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootNode, nodeTierUnavailable, type TestNode } from '../test/node/support/node.ts';

const bundle = join(import.meta.dirname, '..', 'dist', 'kubelet-sysctl-agent.cjs');
const layout = 'icp';
const bold =
  process.stdout.isTTY && process.env['NO_COLOR'] === undefined ? ['\u001b[1m', '\u001b[0m'] : ['', ''];

const [mode, entry = 'net.core.somaxconn'] = process.argv.slice(2);
const unavailable = nodeTierUnavailable();
if (mode === '--this-node') onThisNode(entry);
else if (unavailable === undefined) await onThrowAwayNode();
else onDirectory(unavailable);

async function onThrowAwayNode(): Promise<void> {
  const kubelet = process.env['KUBELET'] ? 'the real kubelet that KUBELET names' : 'a stand-in kubelet';
  tell(`A throw-away node boots: real systemd, and ${kubelet} in the layout of IBM Cloud Private.`);
  const node = await bootNode({ layout });
  try {
    await shell(node, ['systemctl', 'is-active', 'kubelet']);

    tell('A pod wants net.core.somaxconn=512. The kubelet refuses it:');
    await shell(node, ['kubelet-admits', 'net.core.somaxconn=512']);

    tell('What would change? Nothing is touched yet.');
    await agent(node, ['plan', '--allow', 'net.core.somaxconn'], 2);

    tell('Do it: written, proven from what systemd parsed, restarted, watched, committed.');
    await agent(node, ['apply', '--allow', 'net.core.somaxconn', '--probation', '3s'], 0);

    tell('The running kubelet has the flag, and the pod is let in:');
    await shell(node, [
      'sh',
      '-c',
      'tr "\\0" "\\n" </proc/$(systemctl show -P MainPID kubelet)/cmdline | tail -n 1',
    ]);
    await shell(node, ['kubelet-admits', 'net.core.somaxconn=512']);

    tell('A bad entry would keep every kubelet from starting. It is refused before anything is touched:');
    await agent(node, ['apply', '--allow', 'vm.swappiness'], 3);

    tell('Now a kubelet that dies with its next start. It is rolled back, and runs again:');
    const starts = Number((await node.exec(['cat', '/run/standin-kubelet/starts'])).stdout.trim());
    node.faults([`exit-on-start-number ${starts + 1}`]);
    await agent(node, ['apply', '--allow', 'kernel.msgmax', '--probation', '3s'], 4);
    await shell(node, ['systemctl', 'is-active', 'kubelet']);

    tell('Everything is on record:');
    await agent(node, ['status'], 0);
  } finally {
    await node.dispose();
  }
  tell('The throw-away node is gone; nothing on this machine was changed.');
}

/** Shows a command of the story; `kubelet-admits` stands for what the kubelet does with a pod. */
async function shell(node: TestNode, command: readonly string[]): Promise<void> {
  process.stdout.write(`$ ${command.join(' ')}\n`);
  if (command[0] === 'kubelet-admits') {
    const { message } = await node.admit(...command.slice(1));
    process.stdout.write(`${message}\n`);
    return;
  }
  const { stdout, stderr } = await node.exec(command);
  process.stdout.write(stdout + stderr);
}

async function agent(node: TestNode, args: readonly string[], expected: number): Promise<void> {
  process.stdout.write(`$ kubelet-sysctl-agent ${args.join(' ')}\n`);
  const running = await node.spawn(node.agentCommand(args));
  const shown = { out: 0, err: 0 };
  const show = (): void => {
    process.stdout.write(running.stdout().slice(shown.out) + running.stderr().slice(shown.err));
    shown.out = running.stdout().length;
    shown.err = running.stderr().length;
  };
  const timer = setInterval(show, 50);
  const { code } = await running.result;
  clearInterval(timer);
  show();
  process.stdout.write(`(exit ${code})\n`);
  if (code !== expected) throw new Error(`the demo expected exit ${expected}`);
}

function onThisNode(allow: string): void {
  const run = (...args: string[]): number => {
    process.stdout.write(`$ kubelet-sysctl-agent ${args.join(' ')}\n`);
    return spawnSync(process.execPath, [bundle, ...args], { stdio: 'inherit' }).status ?? 1;
  };
  tell("This machine's own kubelet. First what would change; nothing is touched:");
  const planned = run('plan', '--allow', allow);
  if (planned !== 2) {
    tell(planned === 0 ? 'Nothing to do here.' : 'Refused; nothing was touched.');
    process.exitCode = planned;
    return;
  }
  tell('Do it:');
  const applied = run('apply', '--allow', allow);
  tell('How the node stands:');
  run('status');
  if (applied === 0) tell('To take it back: kubelet-sysctl-agent rollback');
  process.exitCode = applied;
}

function onDirectory(reason: string): void {
  tell(
    `No throw-away node here: ${reason}. The same on a directory, where nothing runs that could be restarted.`,
  );
  const root = mkdtempSync(join(tmpdir(), 'kubelet-sysctl-agent-demo-'));
  try {
    cpSync(join(import.meta.dirname, '..', 'test', 'fixtures', 'layouts', layout), root, { recursive: true });
    const run = (args: readonly string[], expected: number): void => {
      process.stdout.write(`$ kubelet-sysctl-agent ${args.join(' ')} --root IMAGE\n`);
      const { status } = spawnSync(process.execPath, [bundle, ...args, '--root', root], { stdio: 'inherit' });
      process.stdout.write(`(exit ${status})\n`);
      if (status !== expected) throw new Error(`the demo expected exit ${expected}`);
    };
    run(['plan', '--allow', 'net.core.somaxconn'], 2);
    run(['apply', '--allow', 'net.core.somaxconn'], 0);
    run(['plan', '--allow', 'net.core.somaxconn'], 0);
    tell('A bad entry is refused:');
    run(['apply', '--allow', 'vm.swappiness'], 3);
  } finally {
    rmSync(root, { recursive: true });
  }
}

function tell(sentence: string): void {
  process.stdout.write(`\n${bold[0]}${sentence}${bold[1]}\n`);
}
