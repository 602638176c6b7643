import { dirname } from 'node:path';
import { test } from 'tap';
import type { Test } from 'tap';
import { z } from 'zod';
import { isAllowlistFlag, walkFlags } from '../../agent/kubelet/argv.ts';
import { readAllowlistFlag } from '../../agent/kubelet/flag.ts';
import type { Plan } from '../../agent/plan/plan.ts';
import { type CorpusLayout, readCorpus } from '../unit/plan/support/corpus.ts';
import { changeOf, image, planFor, policyOf } from '../unit/plan/support/node.ts';
import { bootNode, nodeTierUnavailable, type TestNode } from './support/node.ts';

const skip = nodeTierUnavailable() ?? false;

// Stands where the kubelet would, and says what it was started with.
const recorder = `#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done >/run/argv.new
mv /run/argv.new /run/argv
exec sleep infinity
`;

void test('what is written for each layout changes the allowlist and nothing else', { skip }, async (t) => {
  // One node for all of them: it is systemd that is asked, and a boot for each would take minutes.
  const node = await bootNode({ layout: 'masked', kubelet: 'standin' }, t);
  const edited = readCorpus().filter(
    ({ expected }) => expected?.kind === 'written' && expected.placement !== 'DistributionConfig',
  );
  t.ok(edited.length >= 40, `${edited.length} layouts`);
  for (const layout of edited) {
    await t.test(`${layout.name}: ${layout.description}`, async (t) => {
      const observed = await image(layout.files);
      const plan = changeOf(
        planFor(observed, policyOf(['net.core.somaxconn'], { placement: layout.placement })),
      );
      const program = observed.unit?.execStart[0]?.path ?? '';
      await install(node, layout, program);
      const unit = plan.unit;
      t.same(
        await loadedArgv(node, unit),
        plan.expectation?.commandBefore.argv.map(specifiersOf(node)),
        'the planner reads the unit as systemd does',
      );
      const before = await startedArgv(node, unit);

      for (const file of plan.files) await write(node, file.path, file.after ?? '');
      if (plan.placement?.kind === 'Unit' || plan.placement?.kind === 'DropIn')
        await node.systemctl('daemon-reload');
      t.same(
        await loadedArgv(node, unit),
        plan.expectation?.commandAfter.argv.map(specifiersOf(node)),
        'systemd reads what was meant',
      );
      t.equal(await node.property('LoadState', unit), 'loaded');
      const after = await startedArgv(node, unit);
      compare(t, plan, layout, before, after);
      await remove(node, layout, plan, program);
    });
  }
});

/** The started program gets its old words, and an allowlist flag that holds what the plan says. */
function compare(
  t: Test,
  plan: Plan,
  layout: CorpusLayout,
  before: readonly string[],
  after: readonly string[],
): void {
  if (plan.placement?.kind === 'KubeletConfig') {
    t.same(after, before, 'a file needs no flag');
    return;
  }
  if (layout.name === 'k3s-unit') {
    const arg = '--kubelet-arg=allowed-unsafe-sysctls=kernel.sem';
    t.same(
      after,
      before.map((word) => (word === arg ? `${arg},net.core.somaxconn` : word)),
    );
    return;
  }
  const words = (argv: readonly string[]): readonly string[] =>
    argv[0] === 'kubelet' ? argv.slice(1) : argv;
  const flag = readAllowlistFlag(words(after));
  t.same(new Set(flag.ok ? flag.entries : []), new Set(plan.entries.after));
  // Where our drop-in was out of date, its words change too: that is what it is made anew for.
  if (layout.name !== 'our-drop-in-is-old') t.same(withoutFlag(words(after)), withoutFlag(words(before)));
}

function withoutFlag(args: readonly string[]): readonly string[] {
  const own = new Set(
    walkFlags(args)
      .filter(isAllowlistFlag)
      .flatMap(({ index, words }) => (words === 2 ? [index, index + 1] : [index])),
  );
  return args.filter((_, index) => !own.has(index));
}

/** `%H` and `%p` are systemd's to fill in. */
function specifiersOf(node: TestNode): (word: string) => string {
  return (word) => word.replaceAll('%H', node.name).replaceAll('%p', 'kubelet');
}

async function install(node: TestNode, layout: CorpusLayout, program: string): Promise<void> {
  await clear(node);
  for (const [path, entry] of Object.entries(layout.files)) {
    if (typeof entry === 'string') await write(node, path, entry);
    else if ('link' in entry) {
      await run(node, ['mkdir', '-p', dirname(path)]);
      await run(node, ['ln', '-sfn', entry.link, path]);
    }
  }
  await write(node, program, recorder);
  await run(node, ['chmod', '0755', program]);
  await node.systemctl('daemon-reload');
}

async function remove(node: TestNode, layout: CorpusLayout, plan: Plan, program: string): Promise<void> {
  await node.exec(['systemctl', 'stop', plan.unit]);
  await node.exec(['systemctl', 'reset-failed', plan.unit]);
  const unitFiles = [...Object.keys(layout.files), ...plan.files.map(({ path }) => path), program];
  await run(node, ['rm', '-f', ...unitFiles]);
}

/** The layout that the node booted with, and every unit that a layout may have left. */
async function clear(node: TestNode): Promise<void> {
  const directories = [
    '/etc/systemd/system',
    '/run/systemd/system',
    '/usr/local/lib/systemd/system',
    '/usr/lib/systemd/system',
  ];
  await run(node, [
    'rm',
    '-rf',
    ...directories.flatMap((directory) => [`${directory}/kubelet.service`, `${directory}/kubelet.service.d`]),
  ]);
}

async function write(node: TestNode, path: string, text: string): Promise<void> {
  await run(node, ['mkdir', '-p', dirname(path)]);
  const { code, stderr } = await node.exec(['sh', '-c', 'printf %s "$1" >"$0"', path, text]);
  if (code !== 0) throw new Error(stderr);
}

async function run(node: TestNode, command: readonly string[]): Promise<void> {
  const { code, stderr } = await node.exec(command);
  if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
}

/** busctl's form of a(sasbttttuii): path, argv, and what became of the command. */
const answer = z.object({ data: z.array(z.tuple([z.string(), z.array(z.string())]).rest(z.unknown())) });

/** What systemd has loaded, over D-Bus: after unquoting and %, before $. */
async function loadedArgv(node: TestNode, unit: string): Promise<readonly string[]> {
  const path = `/org/freedesktop/systemd1/unit/${unit.replaceAll(/[^A-Za-z0-9]/g, (character) => `_${character.charCodeAt(0).toString(16)}`)}`;
  const { stdout, stderr } = await node.exec([
    'busctl',
    '--json=short',
    'get-property',
    'org.freedesktop.systemd1',
    path,
    'org.freedesktop.systemd1.Service',
    'ExecStart',
  ]);
  if (stdout === '') throw new Error(stderr);
  const { data } = answer.parse(JSON.parse(stdout));
  if (data.length !== 1) throw new Error(`${data.length} commands`);
  return data[0]?.[1] ?? [];
}

/** What a program gets that systemd starts now: after $ expansion. */
async function startedArgv(node: TestNode, unit: string): Promise<readonly string[]> {
  await node.exec(['rm', '-f', '/run/argv']);
  await node.exec(['systemctl', 'reset-failed', unit]);
  await node.systemctl('restart', unit);
  await node.waitFor(() => node.exists('/run/argv'), { what: `${unit} to start`, deadlineMs: 20_000 });
  return node.read('/run/argv').toString().split('\n').slice(0, -1);
}
