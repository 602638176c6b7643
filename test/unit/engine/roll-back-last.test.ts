import t from 'tap';
import {
  fakeNode,
  fakeNodeUnavailable,
  flag,
  unitFile,
  unitText,
  unitTextAfter,
} from '../../support/host/fake-node.ts';
import { apply, codeOf, policy, undo } from './support.ts';

const tier = { skip: fakeNodeUnavailable };
const webPod = {
  kind: 'known',
  runtime: 'a test',
  pods: [{ namespace: 'web', name: 'nginx', uid: 'u', sysctls: { 'net.core.somaxconn': '512' } }],
} as never;

void t.test('what the last apply replaced is put back, as a transaction of its own', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  const outcome = await undo(node);
  t.equal(outcome.kind, 'committed');
  t.equal(node.read(unitFile), unitText);
  t.notOk((await node.argv()).includes(flag));
  t.strictSame(node.litter(), []);
  t.match(node.audit().at(-1), {
    kind: 'rollback',
    requestedBy: 'bob',
    by: 'person',
    verdict: 'committed',
    removed: ['net.core.somaxconn'],
  });
});

void t.test('it is undone only once, then the one before it', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  await apply(node, { policy: policy({ allowedUnsafeSysctls: ['net.core.somaxconn', 'kernel.msgmax'] }) });
  t.equal((await undo(node)).kind, 'committed');
  t.equal(node.read(unitFile), unitTextAfter);
  t.equal((await undo(node)).kind, 'committed');
  t.equal(node.read(unitFile), unitText);
  t.equal(codeOf(await undo(node)), 'NOTHING_TO_ROLL_BACK');
});

void t.test('on a node without a history there is nothing to roll back', tier, async (t) => {
  const node = await fakeNode(t);
  t.equal(codeOf(await undo(node)), 'NOTHING_TO_ROLL_BACK');
  t.strictSame(node.systemd.calls, []);
});

void t.test('an edit that somebody made since is not lost', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  const theirs = unitTextAfter.replace('192.0.2.10', '192.0.2.99');
  node.write(unitFile, theirs);
  const outcome = await undo(node);
  t.equal(outcome.kind, 'refused');
  t.equal(codeOf(outcome), 'FILE_CHANGED');
  t.equal(node.read(unitFile), theirs);
});

void t.test('it is refused while a running pod uses what would be taken away', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  node.pods(webPod);
  const outcome = await undo(node);
  t.equal(codeOf(outcome), 'REMOVAL_IN_USE');
  t.equal(node.read(unitFile), unitTextAfter);
  t.equal((await undo(node, { force: ['REMOVAL_IN_USE'] })).kind, 'committed', 'a person may overrule it');
});

void t.test('where the pods cannot be known it goes ahead and says so', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  node.pods({ kind: 'unknown', reason: 'no containerd here' } as never);
  const outcome = await undo(node);
  t.equal(outcome.kind, 'committed');
  t.match(outcome, { warnings: [{ code: 'REMOVAL_UNCHECKED', message: /no containerd here/ }] });
});

void t.test('a kubelet that fails with its old command line gets the newer one back', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  node.kubelet((argv) => (argv.includes(flag) ? {} : { exitsAfterMs: 0 }));
  const outcome = await undo(node);
  t.equal(outcome.kind, 'rolledBack');
  t.equal(codeOf(outcome), 'KUBELET_EXITED');
  t.equal(node.read(unitFile), unitTextAfter);
  t.ok((await node.argv()).includes(flag));
});

void t.test('an apply that failed and was rolled back is not what is undone', tier, async (t) => {
  const node = await fakeNode(t);
  node.kubelet((argv) => (argv.includes(flag) ? { exitsAfterMs: 0 } : {}));
  await apply(node);
  t.equal(codeOf(await undo(node)), 'NOTHING_TO_ROLL_BACK');
});

void t.test('after a roll-back the same policy may be applied again', tier, async (t) => {
  const node = await fakeNode(t);
  await apply(node);
  await undo(node);
  t.equal((await apply(node)).kind, 'committed');
  t.equal(node.read(unitFile), unitTextAfter);
});
