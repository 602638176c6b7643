import t from 'tap';
import { policyCustomResourceDefinition } from '../../../agent/policy/crd.ts';

type Node = Readonly<Record<string, unknown>>;

/** Every schema below a node, with its path. */
function schemas(node: Node, path = ''): readonly (readonly [string, Node])[] {
  const properties = Object.entries((node['properties'] ?? {}) as Record<string, Node>);
  const inner = [
    ...properties.map(([key, property]) => [`${path}.${key}`, property] as const),
    ...['items', 'additionalProperties'].flatMap((key) =>
      node[key] === undefined ? [] : [[`${path}.${key}`, node[key] as Node] as const],
    ),
  ];
  return [[path, node], ...inner.flatMap(([here, schema]) => schemas(schema, here))];
}

function rootSchema(): Node {
  const definition = JSON.parse(JSON.stringify(policyCustomResourceDefinition()));
  return definition.spec.versions[0].schema.openAPIV3Schema;
}

const structuralKeys = new Set(
  (
    'type format description properties required items additionalProperties enum pattern minimum maximum maxLength ' +
    'maxItems maxProperties x-kubernetes-list-type x-kubernetes-list-map-keys x-kubernetes-validations'
  ).split(' '),
);

void t.test('the schema is structural: a type everywhere, and no words that Kubernetes refuses', (t) => {
  for (const [path, schema] of schemas(rootSchema())) {
    t.type(schema['type'], 'string', path);
    t.notOk('properties' in schema && 'additionalProperties' in schema, path);
    t.strictSame(
      Object.keys(schema).filter((key) => !structuralKeys.has(key)),
      [],
      path,
    );
  }
  t.end();
});

void t.test('no default is stored, so that a stated setting differs from an unstated one', (t) => {
  for (const [path, schema] of schemas(rootSchema())) t.notOk('default' in schema, path);
  t.end();
});

void t.test('every text and list of the spec is bounded, and every list says how it merges', (t) => {
  for (const [path, schema] of schemas(rootSchema())) {
    if (!path.startsWith('.spec')) continue;
    if (schema['type'] === 'string') t.ok('maxLength' in schema || 'enum' in schema, path);
    if (schema['type'] === 'array') {
      t.ok('maxItems' in schema, path);
      t.ok('x-kubernetes-list-type' in schema, path);
    }
    if (schema['type'] === 'integer') t.ok('minimum' in schema && 'maximum' in schema, path);
  }
  t.end();
});

void t.test('every pattern compiles where Go reads it: no lookaround, no back references', (t) => {
  for (const [path, { pattern }] of schemas(rootSchema())) {
    if (typeof pattern === 'string') t.notMatch(pattern, /\(\?|\\[1-9]/, path);
  }
  t.end();
});

void t.test('the rules that no pattern can say are CEL rules', (t) => {
  const rules = schemas(rootSchema()).flatMap(([path, schema]) =>
    ((schema['x-kubernetes-validations'] ?? []) as readonly { readonly rule: string }[]).map(({ rule }) => [
      path,
      rule,
    ]),
  );
  t.strictSame(rules, [
    ['.spec.nodeSelector', 'has(self.matchLabels) || has(self.matchExpressions)'],
    [
      '.spec.nodeSelector.matchExpressions.items',
      "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
    ],
    [
      '.spec.sysctls.items',
      '[has(self.value), has(self.atLeast), has(self.atMost)].exists_one(stated, stated)',
    ],
    ['.spec.rollout.probation', "duration(self) >= duration('1s') && duration(self) <= duration('30m')"],
  ]);
  t.end();
});
