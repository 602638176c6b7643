import t from 'tap';
import { nameOf, only, render, whyNoKustomize } from './support/documents.ts';
import { withComponent } from './support/overlay.ts';
import { complaints } from './support/schema.ts';

const skip = (await whyNoKustomize()) ?? false;

void t.test('the component keeps the metrics from strangers and the probes open', { skip }, async (t) => {
  const objects = await render(withComponent(t, 'overlays/prometheus-operator', 'metrics-authorization'));
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
    const objects = await render(withComponent(t, overlay, 'metrics-authorization'));
    const known = objects.filter(({ apiVersion }) => !apiVersion.startsWith('sysctl-agent.dev/'));
    t.strictSame(await complaints(known), [], overlay);
    t.ok(
      objects.map(nameOf).some((name) => name.includes('kubelet-sysctl-agent-scraper')),
      overlay,
    );
  }
});
