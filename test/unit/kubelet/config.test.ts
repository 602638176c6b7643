import t from 'tap';
import type { ConfigText } from '../../../agent/kubelet/config.ts';
import { readKubeletConfig } from '../../../agent/kubelet/config.ts';

const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
const main = (body: string): ConfigText => ({ path: '/var/lib/kubelet/config.yaml', text: head + body });
const dropIn = (name: string, body: string): ConfigText => ({
  path: `/etc/kubelet.d/${name}`,
  text: head + body,
});
const listOf = (file: ConfigText | undefined, ...dropIns: ConfigText[]): unknown => {
  const reading = readKubeletConfig(file, dropIns);
  return reading.ok ? [reading.facts.allowedUnsafeSysctls, reading.listFrom] : reading.problem.message;
};

void t.test("no file and an empty one give the kubelet's defaults", (t) => {
  const defaults = {
    ok: true,
    facts: {
      allowedUnsafeSysctls: undefined,
      healthzPort: 10248,
      healthzBindAddress: '127.0.0.1',
      protectKernelDefaults: false,
      failSwapOn: true,
      staticPodPath: undefined,
      containerRuntimeEndpoint: undefined,
    },
    listFrom: undefined,
  };
  t.same(readKubeletConfig(undefined, []), defaults);
  t.same(readKubeletConfig(main(''), []), defaults);
  t.end();
});

void t.test('what the file gives is read, YAML 1.1 booleans, anchors and JSON included', (t) => {
  const reading = readKubeletConfig(
    main(
      'healthzPort: 0\nhealthzBindAddress: 0.0.0.0\nprotectKernelDefaults: yes\nfailSwapOn: no\nstaticPodPath: /etc/m\ncontainerRuntimeEndpoint: unix:///c\nallowedUnsafeSysctls:\n- net.* # all of it\n- "kernel.shm*"\n',
    ),
    [],
  );
  t.same(reading.ok && reading.facts, {
    allowedUnsafeSysctls: ['net.*', 'kernel.shm*'],
    healthzPort: 0,
    healthzBindAddress: '0.0.0.0',
    protectKernelDefaults: true,
    failSwapOn: false,
    staticPodPath: '/etc/m',
    containerRuntimeEndpoint: 'unix:///c',
  });
  const json = '{\n\t"kind": "KubeletConfiguration",\n\t"allowedUnsafeSysctls": ["net.a"]\n}';
  t.same(listOf({ path: '/c', text: json }), [['net.a'], '/c']);
  t.same(listOf(main('x: &l [net.b]\nallowedUnsafeSysctls: *l\n')), [
    ['net.b'],
    '/var/lib/kubelet/config.yaml',
  ]);
  t.end();
});

void t.test('a drop-in replaces the list whole; the last one in the order of a directory walk wins', (t) => {
  const base = main('allowedUnsafeSysctls: [net.a]\n');
  const ten = dropIn('10.conf', 'allowedUnsafeSysctls: [net.b]\n');
  const nine = dropIn('9.conf', 'allowedUnsafeSysctls: [net.c]\n');
  t.same(listOf(base, nine, ten), [['net.c'], '/etc/kubelet.d/9.conf']);
  t.same(listOf(base, ten, dropIn('90.yaml', 'allowedUnsafeSysctls: [net.x]\n')), [['net.b'], ten.path]);
  t.same(listOf(base, dropIn('20.conf', 'healthzPort: 1\n')), [['net.a'], base.path]);
  t.same(listOf(undefined, ten), [['net.b'], ten.path]);
  const inside = dropIn('a/z.conf', 'allowedUnsafeSysctls: [net.inside]\n');
  const beside = dropIn('a.conf', 'allowedUnsafeSysctls: [net.beside]\n');
  t.same(listOf(base, beside, inside), [['net.beside'], beside.path]);
  t.end();
});

void t.test('null takes a setting back to its default, an empty list is a list', (t) => {
  const base = main('allowedUnsafeSysctls: [net.a]\nhealthzPort: 1\n');
  const reset = readKubeletConfig(base, [dropIn('1.conf', 'allowedUnsafeSysctls: null\nhealthzPort: ~\n')]);
  t.same(reset.ok && [reset.facts.allowedUnsafeSysctls, reset.facts.healthzPort, reset.listFrom], [
    undefined,
    10248,
    undefined,
  ]);
  t.same(listOf(base, dropIn('1.conf', 'allowedUnsafeSysctls: []\n')), [[], '/etc/kubelet.d/1.conf']);
  t.end();
});

void t.test('in 1.28 an empty value in a drop-in changes nothing', (t) => {
  const base = main('allowedUnsafeSysctls: [net.a]\nhealthzPort: 1\n');
  const empty = dropIn('1.conf', 'allowedUnsafeSysctls: []\nhealthzPort: 0\n');
  const list = (minor: number): unknown => {
    const reading = readKubeletConfig(base, [empty], { major: 1, minor, patch: 0, text: `v1.${minor}.0` });
    return reading.ok && [reading.facts.allowedUnsafeSysctls, reading.facts.healthzPort];
  };
  t.same(list(28), [['net.a'], 1]);
  t.same(list(29), [[], 0]);
  t.end();
});

void t.test('drop-ins may be empty or without a kind, as before 1.30', (t) => {
  t.same(listOf(main(''), { path: '/d/1.conf', text: '' }, { path: '/d/2.conf', text: '# nothing\n---\n' }), [
    undefined,
    undefined,
  ]);
  t.same(listOf(main(''), { path: '/d/1.conf', text: 'allowedUnsafeSysctls: [net.a]\n' }), [
    ['net.a'],
    '/d/1.conf',
  ]);
  t.end();
});

void t.test('the first document of a file counts', (t) => {
  t.same(listOf(main('allowedUnsafeSysctls: [net.a]\n---\nallowedUnsafeSysctls: [net.b]\n')), [
    ['net.a'],
    '/var/lib/kubelet/config.yaml',
  ]);
  t.end();
});

void t.test('what cannot be read is refused with its place, never taken as an absent list', (t) => {
  const path = '/var/lib/kubelet/config.yaml';
  const lead = `cannot read the kubelet's configuration ${path}: `;
  const table: readonly (readonly [string, string])[] = [
    ['', 'it is empty'],
    ['# only this\n', 'it is empty'],
    ['- net.a\n', 'it is no mapping'],
    ['kind: Pod\n', 'its kind is "Pod", not KubeletConfiguration'],
    ['a: 1\n', 'its kind is missing, not KubeletConfiguration'],
    [
      `${head}allowedUnsafeSysctls: net.a,net.b\n`,
      'allowedUnsafeSysctls is "net.a,net.b", not a list of names',
    ],
    [`${head}allowedUnsafeSysctls: [1]\n`, 'allowedUnsafeSysctls is [1], not a list of names'],
    [`${head}healthzPort: "x"\n`, 'healthzPort is "x", not a number'],
    [`${head}protectKernelDefaults: maybe\n`, 'protectKernelDefaults is "maybe", not true or false'],
    [`${head}allowedUnsafeSysctls: [net.a]\nallowedUnsafeSysctls: [net.b]\n`, 'Map keys must be unique'],
    [
      `${head}allowedUnsafeSysctls: *nowhere\n`,
      'Unresolved alias (the anchor must be set before the alias): nowhere',
    ],
  ];
  for (const [text, wanted] of table) t.equal(listOf({ path, text }), lead + wanted, JSON.stringify(text));
  const broken = readKubeletConfig({ path, text: `${head}a: [\n` }, []);
  t.match(broken.ok ? {} : broken.problem, {
    code: 'KUBELET_CONFIG_UNREADABLE',
    where: { file: path, line: 4 },
  });
  t.end();
});
