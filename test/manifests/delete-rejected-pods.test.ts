import t from 'tap';
import { nameOf, only, render, whyNoKustomize } from './support/documents.ts';
import { withComponent } from './support/overlay.ts';
import { complaints } from './support/schema.ts';

const skip = (await whyNoKustomize()) ?? false;

for (const overlay of ['base', 'overlays/hardened', 'overlays/before-1.30'])
  void t.test(`on ${overlay} the component sets the switch and gives the right`, { skip }, async (t) => {
    const before = await render(overlay);
    const objects = await render(withComponent(t, overlay, 'delete-rejected-pods'));
    t.strictSame(await complaints(objects), []);
    t.match(only(objects, 'DaemonSet'), {
      spec: {
        template: {
          spec: {
            containers: [
              {
                name: 'agent',
                env: [
                  { name: 'KSA_DELETE_REJECTED_PODS', value: '10m' },
                  { name: 'KSA_NODE_NAME' },
                  { name: 'KSA_REQUESTED_BY' },
                ],
              },
            ],
          },
        },
      },
    });
    t.match(only(objects, 'ClusterRole', 'kubelet-sysctl-agent-rejected-pods'), {
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['delete'] }],
    });
    const names = before.map(nameOf);
    t.strictSame(
      objects.map(nameOf).filter((name) => !names.includes(name)).length,
      4,
      'a role, its binding, an admission policy and its binding; nothing else',
    );
  });

void t.test('without the component no pod may be deleted and nothing tries to', { skip }, async (t) => {
  const objects = await render('base');
  t.notMatch(JSON.stringify(objects), 'KSA_DELETE_REJECTED_PODS');
  t.strictSame(
    objects
      .flatMap(({ rules }) => (Array.isArray(rules) ? rules.map((rule) => JSON.stringify(rule)) : []))
      .filter((rule) => rule.includes('"pods"')),
    ['{"apiGroups":[""],"resources":["pods"],"verbs":["list","watch"]}'],
  );
});
