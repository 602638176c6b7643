import { execFile } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { documentsOf, manifests } from './support/documents.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What was created, in order. */
  readonly jobs: readonly string[];
  /** The most Jobs that were unfinished at the same time. */
  readonly atOnce: number;
  readonly arguments: readonly string[];
}

/**
 * A kubectl that knows some nodes and keeps Jobs in files. A Job ends when it is looked at for the second time: what a
 * real cluster does in its own time, this one does in the script's.
 */
const kubectl = `#!/bin/sh
cd "$STATE" || exit 1
echo "$*" >>arguments
case "$1 $2" in
"get nodes") cat nodes ;;
"create --filename")
  number=$(($(ls | grep -c '^job-[0-9]*$') + 1))
  cat >"job-$number"
  unfinished=0
  for job in job-[0-9]*; do case $job in *.*) ;; *) [ -e "$job.ended" ] || unfinished=$((unfinished + 1)) ;; esac; done
  echo "$unfinished" >>at-once
  printf 'job-%s' "$number" ;;
"get job")
  if [ ! -e "$3.seen" ]; then : >"$3.seen"; exit 0; fi
  : >"$3.ended"
  node=$(sed -n 's/.*sysctl-agent.dev.node: //p' "$3")
  if grep -qx "$node" broken 2>/dev/null; then echo Failed; else echo Complete; fi ;;
"logs "*) echo "log of $2" ;;
esac
`;

async function everyNode(
  directory: string,
  nodes: readonly string[],
  broken: readonly string[],
  ...args: readonly string[]
): Promise<Ran> {
  const write = (name: string, text: string): void => writeFileSync(path.join(directory, name), text);
  const lines = (name: string): readonly string[] =>
    existsSync(path.join(directory, name))
      ? readFileSync(path.join(directory, name), 'utf8').trim().split('\n')
      : [];
  write('kubectl', kubectl);
  chmodSync(path.join(directory, 'kubectl'), 0o755);
  write('nodes', nodes.map((node) => `${node}\n`).join(''));
  write('broken', broken.map((node) => `${node}\n`).join(''));
  const env = { PATH: `${directory}:/usr/bin:/bin`, STATE: directory };
  const ran = await new Promise<Pick<Ran, 'code' | 'stdout' | 'stderr'>>((resolve) => {
    execFile(path.join(manifests, 'jobs/every-node.sh'), args, { env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
  });
  const jobs = Array.from({ length: nodes.length + 1 }, (_, index) =>
    path.join(directory, `job-${index + 1}`),
  ).filter((file) => existsSync(file));
  return {
    ...ran,
    jobs: jobs.map((file) => {
      const [job] = documentsOf(readFileSync(file, 'utf8'), file);
      return job?.metadata.annotations?.['sysctl-agent.dev/node'] ?? '';
    }),
    atOnce: Math.max(0, ...lines('at-once').map(Number)),
    arguments: lines('arguments'),
  };
}

void t.test('every node gets one Job, one after the other', async (t) => {
  const ran = await everyNode(t.testdir(), ['a', 'b.example', 'c-3'], []);
  t.equal(ran.code, 0, ran.stderr);
  t.strictSame(ran.jobs, ['a', 'b.example', 'c-3']);
  t.equal(ran.atOnce, 1);
  t.match(
    ran.stdout,
    /^every-node: a: begun \(job-1\)\nevery-node: a: complete\n {4}log of job\/job-1\nevery-node: b.example: begun/,
  );
  t.match(ran.stdout, /every-node: 3 of 3 nodes done\n$/);
});

void t.test('--max-unavailable lets that many run at once and no more', async (t) => {
  const nodes = Array.from({ length: 10 }, (_, index) => `node-${index}`);
  const ran = await everyNode(t.testdir(), nodes, [], '--max-unavailable', '3');
  t.equal(ran.code, 0, ran.stderr);
  t.strictSame(ran.jobs, nodes);
  t.equal(ran.atOnce, 3);
});

void t.test('the first node that fails stops the rest, and the others are named', async (t) => {
  const ran = await everyNode(t.testdir(), ['a', 'b', 'c', 'd'], ['b']);
  t.equal(ran.code, 1);
  t.strictSame(ran.jobs, ['a', 'b']);
  t.match(ran.stdout, 'every-node: b: failed');
  t.equal(ran.stderr, 'every-node: failed: b\nevery-node: not begun: c d\n');
});

void t.test('Jobs that run beside one that fails are waited for', async (t) => {
  const ran = await everyNode(t.testdir(), ['a', 'b', 'c'], ['a'], '--max-unavailable', '2');
  t.equal(ran.code, 1);
  t.strictSame(ran.jobs, ['a', 'b']);
  t.match(ran.stdout, /b: complete[^]*1 of 3 nodes done/);
});

void t.test(
  'the selector reaches kubectl, the image reaches the Job, and wrong usage ends with 64',
  async (t) => {
    const directory = t.testdir();
    const ran = await everyNode(
      directory,
      ['a'],
      [],
      '--selector',
      'pool=web',
      '--image',
      'registry.example/agent@sha256:0',
    );
    t.equal(ran.code, 0, ran.stderr);
    t.match(ran.arguments[0], /^get nodes --selector pool=web /);
    t.match(readFileSync(path.join(directory, 'job-1'), 'utf8'), 'image: registry.example/agent@sha256:0\n');
    for (const args of [
      ['--max-unavailable', '0'],
      ['--max-unavailable', 'x'],
      ['--bogus', '1'],
      ['--selector'],
    ])
      t.equal((await everyNode(t.testdir(), ['a'], [], ...args)).code, 64, args.join(' '));
    t.equal((await everyNode(t.testdir(), [], [])).code, 1, 'no node at all');
  },
);
