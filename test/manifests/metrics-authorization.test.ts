import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { type Manifest, manifests, nameOf, render, whyNoKustomize } from './support/documents.ts';
import { complaints } from './support/schema.ts';

interface Teardown {
  teardown(dispose: () => void): unknown;
}

const skip = (await whyNoKustomize()) ?? false;

/** An overlay as an admin writes it: one of ours, and the component. */
function withComponent(t: Teardown, overlay: string): string {
  const home = mkdtempSync(path.join(tmpdir(), 'overlay-'));
  t.teardown(() => {
    rmSync(home, { recursive: true, force: true });
  });
  cpSync(manifests, path.join(home, 'manifests'), { recursive: true });
  const own = path.join(home, 'manifests/overlays/own');
  mkdirSync(own);
  writeFileSync(
    path.join(own, 'kustomization.yaml'),
    `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../${overlay}]
components: [../../components/metrics-authorization]
`,
  );
  return path.relative(manifests, own);
}

function only(objects: readonly Manifest[], kind: string): Manifest {
  const [found, ...more] = objects.filter((object) => object.kind === kind);
  if (found === undefined || more.length > 0) throw new Error(`not exactly one ${kind}`);
  return found;
}

void t.test('the component keeps the metrics from strangers and the probes open', { skip }, async (t) => {
  const objects = await render(withComponent(t, 'overlays/prometheus-operator'));
  t.match(only(objects, 'DaemonSet'), {
    spec: {
      template: {
        spec: {
          containers: [
            {
              env: [
                { name: 'KSA_METRICS_AUTHORIZATION', value: 'true' },
                { name: 'KSA_TLS_CERT_FILE', value: '/metrics-tls/tls.crt' },
                { name: 'KSA_TLS_KEY_FILE', value: '/metrics-tls/tls.key' },
                { name: 'KSA_NODE_NAME' },
                { name: 'KSA_REQUESTED_BY' },
              ],
              livenessProbe: { httpGet: { path: '/livez', port: 'metrics', scheme: 'HTTPS' } },
              readinessProbe: { httpGet: { path: '/readyz', port: 'metrics', scheme: 'HTTPS' } },
            },
          ],
        },
      },
    },
  });
  t.match(only(objects, 'PodMonitor'), {
    spec: {
      podMetricsEndpoints: [
        {
          port: 'metrics',
          path: '/metrics',
          scheme: 'https',
          authorization: { credentials: { name: 'kubelet-sysctl-agent-scraper', key: 'token' } },
          tlsConfig: {
            ca: { secret: { name: 'kubelet-sysctl-agent-metrics-tls', key: 'ca.crt' } },
            serverName: 'kubelet-sysctl-agent-metrics',
          },
        },
      ],
    },
  });
});

void t.test('it goes with every form of the DaemonSet that has an API server', { skip }, async (t) => {
  for (const overlay of ['base', 'overlays/hardened', 'overlays/before-1.30']) {
    const objects = await render(withComponent(t, overlay));
    const known = objects.filter(({ apiVersion }) => !apiVersion.startsWith('sysctl-agent.dev/'));
    t.strictSame(await complaints(known), [], overlay);
    t.ok(
      objects.map(nameOf).some((name) => name.includes('kubelet-sysctl-agent-scraper')),
      overlay,
    );
  }
});
