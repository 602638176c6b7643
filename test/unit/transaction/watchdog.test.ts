import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { guardUnit, previousPath, scriptOf, watchdogScript } from '../../../agent/transaction/watchdog.ts';
import { planOf } from './support/plan.ts';

const usualShells = [['/bin/sh'], ['/bin/dash'], ['/bin/bash'], ['/bin/busybox', 'sh']];
for (const [program = ''] of usualShells.filter(([program = '']) => !existsSync(program)))
  void t.test(`the program of the watchdog under ${program}`, { skip: `there is no ${program} here` }, () =>
    Promise.resolve(),
  );

/** What /bin/sh is on one host or another; each program once, however many names it has. */
const shells = usualShells.filter(
  ([program = ''], index, all) =>
    existsSync(program) &&
    all.findIndex(([other = '']) => existsSync(other) && realpathSync(other) === realpathSync(program)) ===
      index,
);

const systemctl = `#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
  "show -p InvocationID "*) echo "InvocationID=$INVOCATION" ;;
  "-q is-active "*) [ "$ACTIVE" = yes ] ;;
  "show -p ActiveState "*) echo "ActiveState=$STATE" ;;
  "daemon-reload") [ "$RELOADS" = yes ] ;;
  "restart "*) [ "$RESTARTS" = yes ] ;;
esac
`;
/** Waits for nobody; the last one that is asked for ends the program, as a power cut would. */
const sleep = `#!/bin/sh
echo "sleep $*" >>"$LOG"
if [ "$(grep -c ^sleep "$LOG")" -ge "$SLEEPS" ]; then kill -KILL $PPID; fi
`;

interface Teardown {
  teardown(clean: () => void): void;
  comment(text: string): void;
}

interface Scene {
  readonly directory: string;
  readonly unit: string;
  readonly dropIn: string;
  readonly sysctl: string;
  readonly script: string;
  read(path: string): string | undefined;
  calls(): string[];
  run(options?: Run): number | null;
}

interface Run {
  readonly shell?: readonly string[];
  readonly text?: string;
  readonly mode?: 'timer' | 'boot';
  readonly invocation?: string;
  readonly active?: boolean;
  readonly reloads?: boolean;
  readonly restarts?: boolean;
  /** Of a unit that was restarted in vain. */
  readonly state?: 'failed' | 'activating' | 'active';
  /** The program is killed when it wants to sleep for this number of times. */
  readonly sleeps?: number;
}

/** A transaction that replaced one unit and added one drop-in, armed; its kubelet runs with the new files. */
function scene(t: Teardown, name = 'kubelet.service', { replaced = true, token = 'armed' } = {}): Scene {
  // The longest names first: what a test finds must be the same path that the script is told.
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'ksa-watchdog-')));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const bin = join(root, 'bin');
  const etc = join(root, 'etc');
  const directory = join(root, 'backup', `it's $(id) "1"`);
  for (const made of [bin, etc, directory]) mkdirSync(made, { recursive: true });
  writeFileSync(join(bin, 'systemctl'), systemctl, { mode: 0o755 });
  writeFileSync(join(bin, 'sleep'), sleep, { mode: 0o755 });
  const unit = join(etc, name);
  const dropIn = join(etc, `10-${name}`);
  const sysctl = join(etc, 'somaxconn');
  const log = join(root, 'log');
  writeFileSync(unit, 'old\n\n', { mode: 0o640 });
  chmodSync(unit, 0o640);
  writeFileSync(join(directory, '0'), 'old\n\n', { mode: 0o640 });
  chmodSync(join(directory, '0'), 0o640);
  linkSync(unit, previousPath(unit));
  writeFileSync(sysctl, '1024\n');
  if (replaced) {
    writeFileSync(`${unit}.new`, 'new\n', { mode: 0o640 });
    renameSync(`${unit}.new`, unit);
    writeFileSync(dropIn, 'new drop-in\n');
    writeFileSync(join(directory, 'writing'), '');
  }
  if (token !== '') writeFileSync(join(directory, token), '');
  const script = watchdogScript({
    directory,
    unit: 'kubelet.service',
    restorations: [
      { path: unit, saved: join(directory, '0') },
      { path: dropIn, saved: undefined },
    ],
    sysctls: [{ procPath: sysctl, value: "4096\t'1'" }],
    reload: true,
    baselineInvocationId: 'b0',
    madeDirectories: [join(etc, 'kubelet.service.d')],
  });
  mkdirSync(join(etc, 'kubelet.service.d'));
  return {
    directory,
    unit,
    dropIn,
    sysctl,
    script,
    read: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined),
    calls: () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean) : []),
    run({
      shell = ['/bin/sh'],
      text = script,
      mode = 'timer',
      invocation = 'b1',
      active = true,
      reloads = true,
      restarts = true,
      state = 'failed',
      sleeps = 1,
    } = {}) {
      const file = join(directory, 'restore.sh');
      // The script names its own PATH; only the stand-in for systemctl comes before it here.
      writeFileSync(file, text.replace('PATH=', `PATH=${bin}:`), { mode: 0o700 });
      const [program = '', ...args] = shell;
      const ended = spawnSync(program, [...args, file, mode], {
        encoding: 'utf8',
        cwd: '/',
        env: {
          PATH: '/usr/bin:/bin',
          LOG: log,
          INVOCATION: invocation,
          ACTIVE: active ? 'yes' : 'no',
          RELOADS: reloads ? 'yes' : 'no',
          RESTARTS: restarts ? 'yes' : 'no',
          STATE: state,
          SLEEPS: String(sleeps),
        },
      });
      if (ended.stderr !== '') t.comment(ended.stderr);
      return ended.status;
    },
  };
}

const restart = ['reset-failed kubelet.service', 'restart kubelet.service'];
/** A pause is made of short ones, so that it can end early. */
const pause = (seconds: number): string[] => Array<string>(seconds / 5).fill('sleep 5');
const look = 'show -p InvocationID kubelet.service';
const state = 'show -p ActiveState kubelet.service';
const isActive = '-q is-active kubelet.service';

/** Everything that stands in the two directories, by name: text, permissions and number of names. */
function picture({ unit, directory }: Scene): Record<string, string> {
  const etc = join(unit, '..');
  return Object.fromEntries(
    [etc, directory].flatMap((where) =>
      readdirSync(where)
        .filter((name) => name !== 'restore.sh' && !statSync(join(where, name)).isDirectory())
        .sort()
        .map((name) => {
          const info = statSync(join(where, name));
          return [
            `${where === etc ? 'etc' : 'backup'}/${name}`,
            `${(info.mode & 0o777).toString(8)} ${info.nlink} ${readFileSync(join(where, name), 'utf8')}`,
          ];
        }),
    ),
  );
}

for (const shell of shells) {
  void t.test(`${shell.join(' ')}: an armed transaction is put back and the kubelet restarted`, async (t) => {
    const s = scene(t);
    const inode = statSync(previousPath(s.unit)).ino;
    t.equal(s.run({ shell }), 0);
    t.equal(s.read(s.unit), 'old\n\n');
    t.equal(statSync(s.unit).ino, inode, 'the old file itself, with its owner, mode and labels');
    t.equal(s.read(s.dropIn), undefined);
    t.equal(s.read(s.sysctl), "4096\t'1'\n");
    t.equal(s.read(join(s.directory, '0.found')), 'new\n');
    t.notOk(existsSync(previousPath(s.unit)));
    t.ok(existsSync(join(s.directory, 'restored')));
    t.notOk(existsSync(join(s.directory, 'armed')));
    t.strictSame(s.calls(), ['daemon-reload', look, ...restart]);
  });

  void t.test(`${shell.join(' ')}: paths are words, whatever they hold`, async (t) => {
    for (const name of [
      "it's.service",
      'two  words.service',
      'a"b.service',
      '$(touch owned).service',
      '`id`.service',
      'new\nline.service',
      '-n.service',
      '*?[a].service',
      'back\\slash.service',
      '日本.service',
    ]) {
      const s = scene(t, name);
      t.equal(s.run({ shell }), 0, name);
      t.equal(s.read(s.unit), 'old\n\n');
      t.equal(s.read(s.dropIn), undefined);
      t.notOk(existsSync('/owned'));
    }
  });

  void t.test(
    `${shell.join(' ')}: cut off behind any line and started again, it ends the same`,
    async (t) => {
      const whole = scene(t);
      whole.run({ shell });
      whole.run({ shell });
      const wanted = picture(whole);
      for (const text of cutOffs(whole.script)) {
        const s = scene(t);
        // Every scene has its own paths; the line where it is cut is the same.
        const cut = text.replaceAll(join(whole.directory, '../..'), join(s.directory, '../..'));
        s.run({ shell, text: cut });
        t.equal(s.run({ shell }), 0);
        t.strictSame(picture(s), wanted, cut.slice(-300));
      }
    },
  );
}

/** The script, ending itself in front of each line that acts; lines in functions count when they are reached. */
function cutOffs(script: string): string[] {
  const lines = script.split('\n');
  const acts =
    /^\s*(mv|rm|rmdir|put_back|take_away|set_sysctl|sync|systemctl|if|elif|same|keep|until|status=|tried=yes)/;
  return lines.flatMap((line, index) => {
    if (!acts.test(line) || line.trimStart().startsWith('elif')) return [];
    return [[...lines.slice(0, index), 'exit 9', ...lines.slice(index)].join('\n')];
  });
}

void t.test('a committed transaction is left alone', async (t) => {
  for (const token of ['committed', 'restored', '']) {
    const s = scene(t, 'kubelet.service', { token });
    const before = picture(s);
    t.equal(s.run(), 0);
    t.strictSame(picture(s), before);
    t.strictSame(s.calls(), []);
  }
});

void t.test('a second run after the first does nothing', async (t) => {
  const s = scene(t);
  s.run();
  const [before, calls] = [picture(s), s.calls()];
  t.equal(s.run(), 0);
  t.strictSame(picture(s), before);
  t.strictSame(s.calls(), calls);
});

void t.test('a roll-back that the agent began and could not finish is finished', async (t) => {
  const s = scene(t, 'kubelet.service', { token: 'reverting' });
  t.equal(s.run(), 0);
  t.equal(s.read(s.unit), 'old\n\n');
  t.ok(existsSync(join(s.directory, 'restored')));
});

void t.test('a file that was never replaced keeps the edit that somebody made in it', async (t) => {
  const s = scene(t, 'kubelet.service', { replaced: false });
  writeFileSync(s.unit, 'theirs, in place\n');
  t.equal(s.run({ invocation: 'b0' }), 0);
  t.equal(s.read(s.unit), 'theirs, in place\n');
  t.notOk(existsSync(previousPath(s.unit)));
});

void t.test('the edit of somebody else is kept, also when the program must run again', async (t) => {
  const s = scene(t);
  writeFileSync(s.unit, 'theirs\n');
  t.equal(s.run({ reloads: false }), null, 'systemd did not reload');
  t.ok(existsSync(join(s.directory, 'fired')));
  t.equal(s.run(), 0);
  t.equal(s.read(s.unit), 'old\n\n');
  t.equal(s.read(join(s.directory, '0.found')), 'theirs\n');
});

void t.test(
  'without the kept file the backup is used; a copy that was cut off is never put in place',
  async (t) => {
    const s = scene(t);
    rmSync(previousPath(s.unit));
    writeFileSync(`${previousPath(s.unit)}.copy`, 'ol');
    t.equal(s.run(), 0);
    t.equal(s.read(s.unit), 'old\n\n');
    t.equal(statSync(s.unit).mode & 0o777, 0o640);
    t.strictSame(
      readdirSync(join(s.unit, '..')).filter((name) => name.startsWith('.')),
      [],
    );
  },
);

void t.test('with neither the kept file nor the backup it tries again and restarts nothing', async (t) => {
  const s = scene(t);
  rmSync(previousPath(s.unit));
  rmSync(join(s.directory, '0'));
  t.equal(s.run({ sleeps: 4 }), null);
  t.ok(existsSync(join(s.directory, 'fired')), 'not said to be restored');
  t.strictSame(s.calls(), [...pause(20)], 'nothing is started with files that are not the old ones');
  t.equal(scene(t).run({ mode: 'boot', reloads: false }), 1, 'a boot does not wait for it');
});

void t.test(
  'an edit from before anything was written stays, and systemd is not asked to read it',
  async (t) => {
    const s = scene(t, 'kubelet.service', { replaced: false });
    writeFileSync(`${s.unit}.theirs`, 'theirs, renamed over it\n');
    renameSync(`${s.unit}.theirs`, s.unit);
    t.equal(s.run({ invocation: 'b0' }), 0);
    t.equal(s.read(s.unit), 'theirs, renamed over it\n');
    t.strictSame(s.calls(), []);
    t.ok(existsSync(join(s.directory, 'restored')));
  },
);

void t.test('a directory that was made for a file goes when it is empty, and only then', async (t) => {
  const s = scene(t);
  const made = join(s.unit, '../kubelet.service.d');
  t.equal(s.run(), 0);
  t.notOk(existsSync(made));
  const used = scene(t);
  writeFileSync(join(used.unit, '../kubelet.service.d/theirs.conf'), '');
  t.equal(used.run(), 0);
  t.ok(existsSync(join(used.unit, '../kubelet.service.d/theirs.conf')));
});

void t.test('a kubelet that never was restarted and runs is not restarted now', async (t) => {
  const s = scene(t);
  t.equal(s.run({ invocation: 'b0' }), 0);
  t.strictSame(s.calls(), ['daemon-reload', look, isActive]);
});

void t.test('a kubelet that stopped by itself is started', async (t) => {
  const s = scene(t);
  t.equal(s.run({ invocation: 'b0', active: false }), 0);
  t.strictSame(s.calls(), ['daemon-reload', look, isActive, ...restart]);
});

void t.test(
  'a restart that fails is tried again, slower and slower, without writing anything anew',
  async (t) => {
    const s = scene(t);
    t.equal(s.run({ restarts: false, sleeps: 124 }), null);
    t.strictSame(s.calls(), [
      'daemon-reload',
      look,
      ...restart,
      ...[5, 10, 20, 40, 80, 160, 300].flatMap((seconds) => [...pause(seconds), state, ...restart]),
      'sleep 5',
    ]);
    t.ok(existsSync(join(s.directory, 'fired')), 'not called restored');
    t.equal(s.run(), 0);
    t.ok(existsSync(join(s.directory, 'restored')));
  },
);

void t.test('a kubelet that systemd is about to start again by itself is left to it', async (t) => {
  const s = scene(t);
  t.equal(s.run({ restarts: false, state: 'activating', sleeps: 4 }), null);
  t.strictSame(s.calls(), [
    'daemon-reload',
    look,
    ...restart,
    ...pause(5),
    state,
    ...pause(10),
    state,
    'sleep 5',
  ]);
  const up = scene(t);
  t.equal(up.run({ restarts: false, state: 'active', sleeps: 2 }), 0);
  t.strictSame(up.calls(), ['daemon-reload', look, ...restart, 'sleep 5', state]);
});

void t.test('it ends where somebody finishes the transaction while it waits', async (t) => {
  const s = scene(t);
  const finishing = s.script.replace(/^ +sleep 5$/m, 'mv "$here/fired" "$here/restored"');
  t.equal(s.run({ text: finishing, restarts: false }), 0);
  t.strictSame(s.calls(), ['daemon-reload', look, ...restart]);
});

void t.test('before the first start of the kubelet at boot nothing is restarted', async (t) => {
  const s = scene(t);
  t.equal(s.run({ mode: 'boot', invocation: '', active: false }), 0);
  t.equal(s.read(s.unit), 'old\n\n');
  t.strictSame(s.calls(), ['daemon-reload', '--no-block try-restart kubelet.service']);
});

void t.test('no word of the script can hold a NUL byte', async (t) => {
  t.throws(
    () =>
      watchdogScript({
        directory: '/d',
        unit: 'k',
        restorations: [{ path: '/a\0b', saved: undefined }],
        sysctls: [],
        reload: false,
        baselineInvocationId: '',
        madeDirectories: [],
      }),
    {
      code: 'INTERNAL',
    },
  );
});

void t.test('a plan that does not reload has a script that does not either', async (t) => {
  const plan = planOf({ reload: false });
  const script = watchdogScript(
    scriptOf(
      { plan, baseline: { mainPid: 1, invocationId: 'b0' }, madeDirectories: [] },
      '/d',
      (name) => `/proc/sys/${name}`,
    ),
  );
  t.notMatch(script, /daemon-reload/);
});

void t.test('the kept file is hidden from systemd, also in a drop-in directory', async (t) => {
  t.equal(
    previousPath('/etc/systemd/system/kubelet.service.d/20-x.conf'),
    '/etc/systemd/system/kubelet.service.d/.20-x.conf.before-sysctl-agent',
  );
});

void t.test('the guard runs before the kubelet and before anything that waits for sysinit', async (t) => {
  const text = guardUnit(
    '/var/lib/kubelet-sysctl-agent/backup/1',
    '/var/lib/kubelet-sysctl-agent',
    'kubelet.service',
  );
  t.match(text, /^Before=sysinit\.target kubelet\.service shutdown\.target$/m);
  t.match(text, /^ExecStart=\/bin\/sh \/var\/lib\/kubelet-sysctl-agent\/backup\/1\/restore\.sh boot$/m);
  t.match(text, /^RequiresMountsFor=\/var\/lib\/kubelet-sysctl-agent$/m);
});
