import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import t from 'tap';

const agent = join(import.meta.dirname, '../../agent');

/** Lower may not import higher. Folders of one rank may not import each other. */
const ranks: Readonly<Record<string, number>> = {
  errors: 0,
  'unit-file': 1,
  sysctl: 1,
  kubelet: 2,
  policy: 3,
  admission: 4,
  plan: 4,
  transaction: 5,
  rollout: 5,
  host: 6,
  cluster: 7,
  engine: 7,
  metrics: 6,
  wire: 8,
  cli: 9,
  main: 10,
};

/** Folders that think: data in, data out; they know no clock, no file, no process and no promise. */
const thinking = ['unit-file', 'sysctl', 'kubelet', 'policy', 'admission', 'plan', 'transaction', 'rollout'];

/** The one home of each library; `yaml` has several, because each kind of document is read where it is understood. */
const homes: Readonly<Record<string, readonly string[]>> = {
  'dbus-native': ['host'],
  execa: ['host'],
  ini: ['sysctl'],
  yaml: ['policy', 'kubelet', 'admission', 'cluster'],
  zod: ['policy'],
  'prom-client': ['metrics'],
  commander: ['cli'],
  pino: ['cli'],
};

interface Import {
  readonly file: string;
  readonly folder: string;
  readonly target: string;
}

const sources = readdirSync(agent, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);
const imports = sources.flatMap((file): Import[] => {
  const text = readFileSync(join(agent, file), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => ({
    file,
    folder: folderOf(file),
    target: match[1] ?? '',
  }));
});

void t.test('every folder has a rank', async (t) => {
  t.strictSame(
    [...new Set(sources.map(folderOf))].filter((folder) => ranks[folder] === undefined),
    [],
  );
});

void t.test('imports point down', async (t) => {
  for (const { file, folder, target } of imports.filter(({ target }) => target.startsWith('.'))) {
    const to = folderOf(relative(agent, normalize(join(agent, dirname(file), target))));
    if (to === folder) continue;
    const [own, other] = [ranks[folder] ?? -1, ranks[to] ?? 99];
    // The cluster adapters carry out ports that the engine names: they may read its types, it never imports them.
    const port = other === own && to === 'engine';
    t.ok(own > other || port, `${file} imports ${target}`);
  }
});

void t.test('folders that think touch nothing', async (t) => {
  for (const { file, folder, target } of imports) {
    if (!thinking.includes(folder)) continue;
    t.notOk(target.startsWith('node:'), `${file} imports ${target}`);
  }
  for (const file of sources.filter((file) => thinking.includes(folderOf(file)))) {
    const text = readFileSync(join(agent, file), 'utf8').replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '');
    t.notMatch(
      text,
      /\bDate\.now\(|\bnew Date\(\)|\bprocess\.env|\bsetTimeout\(|\basync\b|\bPromise\b/,
      file,
    );
  }
});

void t.test('each library is imported where it lives, and nowhere else', async (t) => {
  const used = new Set<string>();
  for (const { file, folder, target } of imports) {
    if (target.startsWith('.') || target.startsWith('node:')) continue;
    const library = target
      .split('/')
      .slice(0, target.startsWith('@') ? 2 : 1)
      .join('/');
    used.add(library);
    t.ok(homes[library]?.includes(folder), `${file} imports ${target}`);
  }
  t.strictSame([...used].sort(), Object.keys(homes).sort(), 'and each is used');
});

void t.test(
  'only the places that are meant for it use the clock, the environment, the console or the exit',
  async (t) => {
    const allowed: Readonly<Record<string, readonly string[]>> = {
      'Date.now(': ['host/clock.ts'],
      'process.exit(': ['main.ts'],
      'process.env': ['main.ts', 'cli/context.ts'],
      'console.': [],
    };
    for (const file of sources) {
      const text = readFileSync(join(agent, file), 'utf8').replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '');
      for (const [word, files] of Object.entries(allowed)) {
        if (!files.includes(file)) t.notOk(text.includes(word), `${file} uses ${word}`);
      }
    }
  },
);

function folderOf(file: string): string {
  const [first = ''] = file.split('/');
  return first.replace(/\.ts$/, '');
}
