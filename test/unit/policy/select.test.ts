import * as fc from 'fast-check';
import t from 'tap';
import { selects } from '../../../agent/policy/select.ts';
import type { Selection } from '../../../agent/policy/select.ts';
import { policyOf, whole, withSpec } from './documents.ts';

const select = (selector: string, labels: Record<string, string> | undefined): Selection =>
  selects(policyOf(withSpec(`{ nodeSelector: ${selector} }`)), labels);

void t.test('no selector and one without a requirement mean every node, known or not', (t) => {
  t.equal(selects(policyOf(withSpec('{}')), undefined), 'matches');
  for (const selector of ['{ matchLabels: {} }', '{ matchExpressions: [] }']) {
    t.equal(select(selector, { a: 'b' }), 'matches');
    t.equal(select(selector, undefined), 'matches');
  }
  t.end();
});

void t.test('a selector without labels to look at is undecided', (t) => {
  t.equal(selects(policyOf(whole), undefined), 'unknown');
  t.equal(select('{ matchExpressions: [{ key: a, operator: DoesNotExist }] }', undefined), 'unknown');
  t.end();
});

void t.test('each operator holds as the API server says', (t) => {
  const requirement = (operator: string, values?: string): string =>
    `{ matchExpressions: [{ key: pool, operator: ${operator}${values === undefined ? '' : `, values: ${values}`} }] }`;
  const table: readonly (readonly [string, Selection, Selection, Selection])[] = [
    // selector, pool: web, pool: db, no pool
    ['{ matchLabels: { pool: web } }', 'matches', 'differs', 'differs'],
    [requirement('In', '[web, api]'), 'matches', 'differs', 'differs'],
    [requirement('NotIn', '[web, api]'), 'differs', 'matches', 'matches'],
    [requirement('Exists'), 'matches', 'matches', 'differs'],
    [requirement('DoesNotExist'), 'differs', 'differs', 'matches'],
  ];
  for (const [selector, web, db, none] of table) {
    t.equal(select(selector, { pool: 'web' }), web, selector);
    t.equal(select(selector, { pool: 'db' }), db, selector);
    t.equal(select(selector, {}), none, selector);
  }
  t.end();
});

void t.test('all parts must hold', (t) => {
  const policy = policyOf(whole);
  t.equal(selects(policy, { pool: 'web', arch: 'amd64' }), 'matches');
  t.equal(selects(policy, { pool: 'db', arch: 'amd64' }), 'differs');
  t.equal(selects(policy, { pool: 'web', arch: 'arm64' }), 'differs');
  t.equal(selects(policy, { pool: 'web', gpu: '' }), 'differs');
  t.end();
});

void t.test('a label that a node does not carry is absent even when every object inherits it', (t) => {
  t.equal(select('{ matchExpressions: [{ key: constructor, operator: Exists }] }', {}), 'differs');
  t.equal(select('{ matchExpressions: [{ key: toString, operator: DoesNotExist }] }', {}), 'matches');
  t.end();
});

void t.test('In and NotIn, Exists and DoesNotExist never agree', (t) => {
  const label = fc.constantFrom('a', 'b', '');
  const labels = fc.option(
    label.map((pool) => ({ pool })),
    { nil: {} },
  );
  fc.assert(
    fc.property(labels, fc.array(label, { minLength: 1 }), (labels, values) => {
      const list = JSON.stringify(values);
      const of = (operator: string, rest = ''): Selection =>
        select(`{ matchExpressions: [{ key: pool, operator: ${operator}${rest} }] }`, labels);
      return (
        of('In', `, values: ${list}`) !== of('NotIn', `, values: ${list}`) &&
        of('Exists') !== of('DoesNotExist')
      );
    }),
  );
  t.end();
});
