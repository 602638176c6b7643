import t from 'tap';
import { isAtLeast, parseKubeletVersion } from '../../../agent/kubelet/version.ts';

void t.test('the version is read from what kubelets and nodes print', (t) => {
  const table: readonly (readonly [string, readonly [number, number, number, string]])[] = [
    ['Kubernetes v1.36.2\n', [1, 36, 2, 'v1.36.2']],
    ['v1.27.3+k3s1', [1, 27, 3, 'v1.27.3+k3s1']],
    ['Kubernetes v1.11.1+icp', [1, 11, 1, 'v1.11.1+icp']],
    ['Kubernetes v1.23.17-eks-a5565ad', [1, 23, 17, 'v1.23.17-eks-a5565ad']],
    ['Kubernetes v1.30.0-rc.1+k3s1', [1, 30, 0, 'v1.30.0-rc.1+k3s1']],
    ['W0101 a warning first\nKubernetes v1.9.0\n', [1, 9, 0, 'v1.9.0']],
  ];
  for (const [output, [major, minor, patch, text]] of table) {
    t.same(parseKubeletVersion(output), { major, minor, patch, text }, output);
  }
  t.end();
});

void t.test('what holds no version of three numbers is unknown', (t) => {
  for (const output of ['', 'Kubernetes', '1.36.2', 'v1.36', 'v1.36.2.1', 'xv1.36.2', 'v99999.1.1']) {
    t.equal(parseKubeletVersion(output), undefined, JSON.stringify(output));
  }
  t.end();
});

void t.test('a major version above one is later than every minor', (t) => {
  t.equal(isAtLeast({ major: 2, minor: 0, patch: 0, text: 'v2.0.0' }, 29), true);
  t.equal(isAtLeast({ major: 1, minor: 28, patch: 9, text: 'v1.28.9' }, 29), false);
  t.equal(isAtLeast({ major: 1, minor: 29, patch: 0, text: 'v1.29.0' }, 29), true);
  t.end();
});
