import { test } from 'tap';
import { changeOf, codesOf, image, planFor, policyOf } from './support/node.ts';

const unit = '/etc/systemd/system/kubelet.service';
const policy = policyOf(['net.core.somaxconn']);

void test('in an image nothing is reloaded or restarted, and nothing has to run', async (t) => {
  const observed = await image({ [unit]: '[Service]\nExecStart=/usr/bin/kubelet\n' });
  const plan = changeOf(planFor(observed, policy));
  t.match(plan, { reload: false, restart: false });
  t.equal(
    plan.files[0]?.after,
    '[Service]\nExecStart=/usr/bin/kubelet --allowed-unsafe-sysctls=net.core.somaxconn\n',
  );
});

void test('what an image gets only when it boots is a warning', async (t) => {
  const observed = await image({
    [unit]:
      '[Service]\nEnvironmentFile=/etc/kubernetes/kubelet.env\nExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml $ARGS\n',
  });
  const outcome = planFor(observed, policy);
  t.equal(outcome.kind, 'change');
  t.match(outcome.notes.warnings, [
    { code: 'KUBELET_CONFIG_UNREADABLE', message: /config\.yaml: it is not there/ },
    { code: 'UNIT_UNREADABLE', message: /kubelet\.env/ },
  ]);
});

void test('a configuration that a variable of the unit names is read in an image too', async (t) => {
  const observed = await image({
    [unit]:
      '[Service]\nEnvironment="A=--config=/etc/kubelet.yaml"\nEnvironmentFile=-/etc/default/%p\nExecStart=/usr/bin/kubelet $A $B\n',
    '/etc/default/kubelet': 'B=--config-dir=/etc/kubelet.d\n',
    '/etc/kubelet.yaml': 'kind: KubeletConfiguration\nallowedUnsafeSysctls: [kernel.sem]\n',
    '/etc/kubelet.d/10.conf': 'maxPods: 3\n',
  });
  t.equal(observed.kubeletConfigDropIns.length, 1);
  t.same(changeOf(planFor(observed, policy)).entries.after, ['kernel.sem', 'net.core.somaxconn']);
});

void test('a directory of static pods that an old kubelet names is no configuration', async (t) => {
  const observed = await image({
    [unit]: '[Service]\nExecStart=/usr/bin/kubelet --config=/etc/kubernetes/manifests\n',
    '/etc/kubernetes/manifests/a.yaml': 'kind: Pod\n',
  });
  t.equal(planFor(observed, policy).kind, 'change');
});

void test('a unit that systemd would refuse is refused in an image', async (t) => {
  const observed = await image({ [unit]: '[Service]\nExecStart=kubelet/ --v=2\n' });
  t.same(codesOf(planFor(observed, policy)), ['UNIT_NOT_LOADED']);
});
