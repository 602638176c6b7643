import { readdirSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readPolicies } from '../../agent/policy/read.ts';
import {
  manifests,
  type Manifest,
  nameOf,
  readManifests,
  render,
  whyNoKustomize,
  yamlFilesBelow,
} from './support/documents.ts';
import { complaints } from './support/schema.ts';

// Kinds of others than Kubernetes: their schemas are not in the package.
const foreign = ['kustomize.config.k8s.io/', 'sysctl-agent.dev/', 'monitoring.coreos.com/', 'kyverno.io/'];
const isForeign = ({ apiVersion }: Manifest): boolean =>
  foreign.some((group) => apiVersion.startsWith(group));

/** Directories that people apply, and so those whose patches are complete objects only when rendered. */
const applied = [
  'base',
  'jobs',
  'examples',
  ...readdirSync(path.join(manifests, 'overlays')).map((name) => `overlays/${name}`),
];

void t.test('every whole object in a file satisfies the published Kubernetes schemas', async (t) => {
  const whole = yamlFilesBelow(manifests)
    // The rules of manifests/prometheus are checked by promtool; its objects are the operator's.
    .filter((file) => !file.startsWith('prometheus/'))
    .filter((file) => !file.startsWith('overlays/') || file.endsWith('/policy.yaml'))
    .flatMap(readManifests)
    .filter((object) => !isForeign(object));
  t.ok(whole.length > 15, 'the files were found');
  t.strictSame(await complaints(whole), []);
});

void t.test('a field that Kubernetes does not know is found, and so is one of the wrong type', async (t) => {
  const job = (spec: object): Manifest => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'x' },
    spec: { template: {}, ...spec },
  });
  const [unknown = ''] = await complaints([job({ podFailurePolicies: { rules: [] } })]);
  t.match(unknown, /podFailurePolicies/);
  const [wrong = ''] = await complaints([job({ backoffLimit: 'two' })]);
  t.match(wrong, /backoffLimit/);
});

const skip = (await whyNoKustomize()) ?? false;

void t.test('what kustomize renders satisfies the published schemas', { skip }, async (t) => {
  for (const directory of applied) {
    const objects = await render(directory);
    t.strictSame(await complaints(objects.filter((object) => !isForeign(object))), [], directory);
    t.strictSame(
      objects.map(nameOf).filter((name, index, all) => all.indexOf(name) !== index),
      [],
      `${directory} names nothing twice`,
    );
  }
});

void t.test('every policy in a manifest is one that the agent accepts', async (t) => {
  const texts = yamlFilesBelow(manifests)
    .filter((file) => !file.startsWith('prometheus/'))
    .flatMap(readManifests)
    .flatMap((object) => {
      if (object.kind === 'NodeSysctlPolicy') return [JSON.stringify(object)];
      const data = object.kind === 'ConfigMap' ? (object['data'] as Record<string, string>) : {};
      return Object.values(data);
    });
  t.ok(texts.length >= 3, 'the policies were found');
  for (const text of texts) {
    const { policies, problems } = readPolicies([{ path: 'policy.yaml', text }]);
    t.strictSame(problems, []);
    t.ok(policies.length > 0);
  }
});

void t.test('the kustomization of the custom resources names every one of them', async (t) => {
  const [kustomization] = readManifests('crds/kustomization.yaml');
  const files = readdirSync(path.join(manifests, 'crds')).filter(
    (name) => name.endsWith('.yaml') && name !== 'kustomization.yaml',
  );
  t.strictSame(kustomization?.['resources'], files.sort());
});
