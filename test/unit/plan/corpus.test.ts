import { test } from 'tap';
import { readCorpus } from './support/corpus.ts';
import { codesOf, image, planFor, policyOf } from './support/node.ts';

const corpus = readCorpus();

void test('the corpus is large enough to mean something', (t) => {
  t.ok(corpus.length >= 80);
  t.ok(corpus.filter(({ expected }) => expected?.kind === 'written').length >= 40);
  t.end();
});

for (const layout of corpus) {
  void test(`corpus ${layout.name}: ${layout.description}`, async (t) => {
    const policy = policyOf(['net.core.somaxconn'], { placement: layout.placement });
    const outcome = planFor(await image(layout.files), policy);
    const { expected } = layout;
    if (expected === undefined) throw new Error('no expectation is written down');
    if (expected.kind === 'refused') {
      t.same(codesOf(outcome), expected.codes);
      return;
    }
    if (outcome.kind !== 'change') throw new Error(JSON.stringify(outcome));
    const { placement, files } = outcome.plan;
    t.same(
      { placement: placement?.kind, path: files[0]?.path, text: files[0]?.after },
      { placement: expected.placement, path: expected.path, text: expected.text },
    );
    t.equal(files.length, 1);
    const again = await image({ ...layout.files, [expected.path]: expected.text });
    t.equal(planFor(again, policy).kind, 'converged', 'a second time there is nothing to do');
  });
}
