import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import t from 'tap';
import { parse } from 'yaml';
import { catalogue, type MetricDefinition } from '../../agent/metrics/catalogue.ts';
import { manifests, repository } from './support/documents.ts';

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}

interface Dashboard {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
}

const read = (file: string): string => readFileSync(path.join(manifests, 'prometheus', file), 'utf8');
const groups = parse(read('rules.yaml')) as { groups: readonly { rules: readonly Rule[] }[] };
const rules = groups.groups.flatMap((group) => group.rules);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const dashboard = JSON.parse(read('dashboard.json')) as Dashboard;
const panelExpressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
const queries = dashboard.templating.list.map(({ query }) => query).filter((query) => query.includes('('));

/** Labels of each metric and recording rule that an expression may name; Prometheus itself adds instance and job. */
const known = new Map<string, readonly string[] | undefined>([
  ...Object.values<MetricDefinition>(catalogue).flatMap(({ name, type, labels }) =>
    (type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']).map(
      (suffix) => [`${name}${suffix}`, [...Object.keys(labels), 'instance', 'job']] as const,
    ),
  ),
  ...rules.flatMap(({ record }) => (record === undefined ? [] : [[record, undefined] as const])),
]);

void t.test('rules and dashboard name metrics and labels that there are', async (t) => {
  const expressions = [...rules.map(({ expr }) => expr), ...panelExpressions, ...queries];
  t.ok(expressions.length > 30, 'they were found');
  for (const expression of expressions) {
    for (const [, name = '', , selector = ''] of expression.matchAll(
      /\b(sysctl_agent[a-z_:]+)(\{([^}]*)\})?/g,
    )) {
      t.ok(known.has(name), `${name} in ${expression}`);
      for (const [, label = ''] of selector.matchAll(/([a-z_]+)\s*[=!]~?=?/g))
        t.ok(known.get(name)?.includes(label), `${label} of ${name} in ${expression}`);
    }
  }
});

void t.test('every alert says what happened, what to do, and how bad it is', async (t) => {
  for (const { alert: name = '', labels, annotations } of alerts) {
    t.match(labels?.['severity'], /^(?:info|warning|critical)$/, name);
    t.ok((annotations?.['summary'] ?? '').length > 20, name);
    t.ok((annotations?.['description'] ?? '').length > 40, name);
    t.notMatch(annotations?.['summary'], /\.$/, 'a summary is a headline');
  }
});

void t.test('every alert has a test of its own and a line in the guide', async (t) => {
  const tests = read('rules.test.yaml');
  const guide = readFileSync(path.join(repository, 'docs/alerts.md'), 'utf8');
  for (const { alert: name = '', labels } of alerts) {
    t.match(tests, new RegExp(`alertname(?:: |=")${name}\\b`), name);
    t.match(guide, new RegExp(`^\\| \`${name}\` +\\| ${labels?.['severity'] ?? ''} `, 'm'), name);
  }
  const described = [...guide.matchAll(/^\| `([A-Za-z]+)` /gm)].map(([, name]) => name);
  t.strictSame(
    described,
    alerts.map(({ alert }) => alert),
  );
});

void t.test('the dashboard is one that Grafana loads: places, numbers, sources and letters', async (t) => {
  t.ok(dashboard.schemaVersion >= 36);
  const ids = dashboard.panels.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length, 'ids');
  const cells = new Set<string>();
  for (const { title, gridPos, datasource, targets, type } of dashboard.panels) {
    t.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.x + gridPos.w <= 24, `${title} is within the page`);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        if (cells.has(`${x} ${y}`)) t.fail(`${title} overlaps another panel`);
        cells.add(`${x} ${y}`);
      }
    }
    t.strictSame(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
    t.match(type, /^(?:timeseries|table|stat)$/, title);
    const letters = targets.map(({ refId }) => refId);
    t.ok(letters.length > 0 && new Set(letters).size === letters.length, title);
  }
  const variables = ['datasource', 'instance', 'sysctl'];
  t.strictSame(
    dashboard.templating.list.map(({ name }) => name),
    variables,
  );
  for (const expression of panelExpressions) {
    for (const [, variable = ''] of expression.matchAll(/\$\{?([a-z_]+)/g))
      t.ok([...variables, '__rate_interval'].includes(variable), `${variable} in ${expression}`);
  }
});

const skip = existsSync('/usr/bin/promtool') ? false : "needs promtool (Debian's package prometheus)";

void t.test('Prometheus parses every expression of the dashboard', { skip }, async (t) => {
  const home = mkdtempSync(path.join(tmpdir(), 'dashboard-'));
  t.teardown(() => {
    rmSync(home, { recursive: true, force: true });
  });
  const asRules = panelExpressions.map((expr, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, 'any'),
  }));
  const file = path.join(home, 'rules.yaml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: asRules }] }));
  const { stdout, stderr, exitCode } = await execa('promtool', ['check', 'rules', file], { reject: false });
  t.equal(exitCode, 0, stdout + stderr);
});
