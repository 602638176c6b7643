import t from 'tap';
import { dropInPaths, fragmentPath, unitDirectories } from '../../../agent/unit-file/load-order.ts';
import type { DirectoryEntry, ListDirectory } from '../../../agent/unit-file/load-order.ts';

// A directory tree as lines: `path`, `path -> target`, or `path (empty)`.
function tree(...lines: readonly string[]): ListDirectory {
  const entries = new Map<string, DirectoryEntry[]>();
  for (const line of lines) {
    const [path = '', target] = line.replace(' (empty)', '').split(' -> ');
    const slash = path.lastIndexOf('/');
    const entry: DirectoryEntry = {
      name: path.slice(slash + 1),
      kind: target === undefined ? 'file' : 'symlink',
      ...(target === undefined ? {} : { target }),
      ...(line.endsWith(' (empty)') ? { empty: true } : {}),
    };
    const directory = path.slice(0, slash);
    entries.set(directory, [...(entries.get(directory) ?? []), entry]);
  }
  return (directory) => entries.get(directory) ?? [];
}

const etc = '/etc/systemd/system';
const run = '/run/systemd/system';
const local = '/usr/local/lib/systemd/system';
const usr = '/usr/lib/systemd/system';

void t.test('the directories are in the order of systemd', (t) => {
  const order = [etc, run, local, usr].map((directory) => unitDirectories.indexOf(directory));
  t.same(
    order,
    order.toSorted((a, b) => a - b),
  );
  t.notOk(order.includes(-1));
  t.end();
});

void t.test('the strongest directory has the fragment', (t) => {
  const list = tree(`${usr}/k.service`, `${local}/k.service`, `${run}/k.service`);
  t.same(fragmentPath('k.service', list), { path: `${run}/k.service`, masked: false });
  t.equal(fragmentPath('other.service', list), undefined);
  t.end();
});

void t.test('a link to /dev/null or an empty file masks', (t) => {
  const masked = { path: `${etc}/k.service`, masked: true };
  t.same(fragmentPath('k.service', tree(`${usr}/k.service`, `${etc}/k.service -> /dev/null`)), masked);
  t.same(fragmentPath('k.service', tree(`${usr}/k.service`, `${etc}/k.service (empty)`)), masked);
  t.end();
});

void t.test('an alias leads to the strongest file of the other name', (t) => {
  const list = tree(`${etc}/a.service -> ${usr}/k.service`, `${usr}/k.service`, `${run}/k.service`);
  t.same(fragmentPath('a.service', list), { path: `${run}/k.service`, masked: false });
  const relative = tree(`${etc}/a.service -> ../../../usr/lib/systemd/system/k.service`, `${usr}/k.service`);
  t.same(fragmentPath('a.service', relative), { path: `${usr}/k.service`, masked: false });
  t.end();
});

void t.test('a link that leaves the unit directories is the fragment itself', (t) => {
  const list = tree(`${etc}/k.service -> /opt/k/k.service`);
  t.same(fragmentPath('k.service', list), { path: `${etc}/k.service`, masked: false });
  t.end();
});

void t.test('links in a circle lead nowhere', (t) => {
  const list = tree(`${etc}/a.service -> b.service`, `${etc}/b.service -> a.service`);
  t.equal(fragmentPath('a.service', list), undefined);
  t.end();
});

void t.test('an instance falls back to its template', (t) => {
  const list = tree(`${usr}/k@.service`);
  t.same(fragmentPath('k@one.service', list), { path: `${usr}/k@.service`, masked: false });
  t.end();
});

void t.test('drop-ins are sorted by file name over all directories, byte by byte', (t) => {
  const names = ['zz-d', '10-b', '~g', '9-a', '99-zz', 'Z-e', '_f', '99-c'];
  const places = [usr, etc, run, local];
  const files = names.map((name, index) => `${places[index % 4] ?? usr}/k.service.d/${name}.conf`);
  t.same(
    dropInPaths(['k.service'], tree(...files)).map((path) => path.slice(path.lastIndexOf('/') + 1, -5)),
    ['10-b', '9-a', '99-c', '99-zz', 'Z-e', '_f', 'zz-d', '~g'],
  );
  t.end();
});

void t.test('of one file name the strongest directory counts, and a mask takes its place', (t) => {
  const list = tree(
    `${usr}/k.service.d/10-a.conf`,
    `${run}/k.service.d/10-a.conf`,
    `${usr}/k.service.d/20-b.conf`,
    `${etc}/k.service.d/20-b.conf -> /dev/null`,
  );
  t.same(dropInPaths(['k.service'], list), [`${run}/k.service.d/10-a.conf`, `${etc}/k.service.d/20-b.conf`]);
  t.end();
});

void t.test('other and hidden files are no drop-ins', (t) => {
  const list = tree(
    `${etc}/k.service.d/.hidden.conf`,
    `${etc}/k.service.d/a.conf~`,
    `${etc}/k.service.d/b.conf.tmp`,
    `${etc}/k.service.d/c.yaml`,
    `${etc}/k.service.d/d.conf`,
  );
  t.same(dropInPaths(['k.service'], list), [`${etc}/k.service.d/d.conf`]);
  t.end();
});

void t.test('aliases, prefixes, templates and the type take part, the unit itself first', (t) => {
  const list = tree(
    `${etc}/service.d/10-x.conf`,
    `${etc}/service.d/20-type.conf`,
    `${etc}/alias.service.d/10-x.conf`,
    `${etc}/alias.service.d/21-alias.conf`,
    `${etc}/my-@.service.d/22-prefix.conf`,
    `${etc}/my-.service.d/24-not-for-instances.conf`,
    `${etc}/my-kubelet@.service.d/23-template.conf`,
    `${usr}/my-kubelet@one.service.d/10-x.conf`,
    `${usr}/my-kubelet@one.service.d/22-prefix.conf`,
  );
  t.same(dropInPaths(['my-kubelet@one.service', 'alias.service'], list), [
    `${usr}/my-kubelet@one.service.d/10-x.conf`,
    `${etc}/service.d/20-type.conf`,
    `${etc}/alias.service.d/21-alias.conf`,
    `${etc}/my-@.service.d/22-prefix.conf`,
    `${etc}/my-kubelet@.service.d/23-template.conf`,
  ]);
  t.same(dropInPaths(['my-kubelet.service'], list), [
    `${etc}/service.d/10-x.conf`,
    `${etc}/service.d/20-type.conf`,
    `${etc}/my-.service.d/24-not-for-instances.conf`,
  ]);
  t.end();
});
