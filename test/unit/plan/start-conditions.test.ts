import t from 'tap';
import { type StartConditions, startProblems } from '../../../agent/plan/start-conditions.ts';

const fine: StartConditions = {
  missing: [],
  noKubeconfig: [],
  swaps: [],
  runtime: { path: '/run/containerd/containerd.sock', state: 'answers' },
  clientCertificate: {
    path: '/var/lib/kubelet/pki/kubelet-client-current.pem',
    notAfterMs: 2_000,
    canBootstrap: false,
  },
};

void t.test('a kubelet that finds all it needs may be restarted', async (t) => {
  t.strictSame(startProblems(fine, 1_000), []);
  t.strictSame(startProblems({ ...fine, runtime: undefined, clientCertificate: undefined }, 1_000), []);
  t.strictSame(
    startProblems({ ...fine, runtime: { path: '/run/x.sock', state: 'unknown' } }, 1_000),
    [],
    'what cannot be seen is no reason',
  );
});

const broken: readonly (readonly [string, Partial<StartConditions>, RegExp])[] = [
  [
    'a configuration file that is gone',
    { missing: [{ flag: 'config', path: '/var/lib/kubelet/config.yaml' }] },
    /--config names \/var\/lib\/kubelet\/config\.yaml/,
  ],
  [
    'no kubeconfig of any kind',
    { noKubeconfig: ['/etc/kubernetes/kubelet.conf'] },
    /none of \/etc\/kubernetes\/kubelet\.conf/,
  ],
  ['swap', { swaps: ['/dev/sda2'] }, /swap is on \(\/dev\/sda2\)/],
  ['a container runtime that is down', { runtime: { path: '/run/x.sock', state: 'absent' } }, /is not there/],
  [
    'a container runtime that hangs',
    { runtime: { path: '/run/x.sock', state: 'silent' } },
    /does not answer/,
  ],
  [
    'an expired certificate',
    { clientCertificate: { path: '/p.pem', notAfterMs: 1_000, canBootstrap: false } },
    /expired at 1970-01-01T00:00:01\.000Z/,
  ],
];
for (const [what, change, message] of broken) {
  void t.test(`${what} would keep the kubelet down, with the old command line as well`, async (t) => {
    const [problem, ...more] = startProblems({ ...fine, ...change }, 1_000);
    t.equal(problem?.code, 'KUBELET_WOULD_NOT_START');
    t.match(problem?.message, message);
    t.strictSame(more, []);
  });
}

void t.test('an expired certificate is no reason where the kubelet can bootstrap', async (t) => {
  t.strictSame(
    startProblems(
      { ...fine, clientCertificate: { path: '/p.pem', notAfterMs: 1, canBootstrap: true } },
      1_000,
    ),
    [],
  );
});
