import { AgentError } from '../errors.ts';
import type { Journal } from './journal.ts';

/** Names of the host-side units. The timer is transient; the guard is a file, so that it survives a power cut. */
export const watchdogName = 'kubelet-sysctl-agent-watchdog';
/** Two names, so that the next timer runs before the last one is stopped. */
export const watchdogNames = [watchdogName, `${watchdogName}-again`] as const;
export const guardName = 'kubelet-sysctl-agent-guard.service';

/** One file for the watchdog to put back; `saved` is undefined where there was none. */
export interface Restoration {
  readonly path: string;
  readonly saved: string | undefined;
}

/**
 * Where the old file itself waits, beside the new one, for the length of a transaction: a hard link, so that
 * going back is one rename that needs no disk space and brings back owner, labels and times as well.
 */
export function previousPath(path: string): string {
  const slash = path.lastIndexOf('/');
  // A leading dot and no `.conf`: systemd does not read it, not even in a drop-in directory.
  return `${path.slice(0, slash)}/.${path.slice(slash + 1)}.before-sysctl-agent`;
}

/** In `backup/ID/` from the moment before the first file of the node is replaced. Without it there is nothing to put back. */
export const writingMark = 'writing';

export interface WatchdogScript {
  /** `backup/ID` on the host. */
  readonly directory: string;
  readonly unit: string;
  readonly restorations: readonly Restoration[];
  readonly sysctls: readonly { readonly procPath: string; readonly value: string }[];
  readonly reload: boolean;
  readonly baselineInvocationId: string;
  /** Directories that the transaction makes, the innermost first. */
  readonly madeDirectories: readonly string[];
}

/**
 * The program that puts everything back when nobody commits. It needs only sh, cat, cp, mv, rm, rmdir, sleep and
 * systemctl on the host: no agent, no container runtime, no D-Bus daemon. It may run twice, and be cut off anywhere.
 * `$1` is `timer`, or `boot` when it runs before the kubelet's first start after a power cut.
 *
 * What fails is tried again, slower and slower up to every five minutes, and said on standard error; a kubelet that
 * systemd itself starts again (Restart=) is left to it.
 */
export function watchdogScript(script: WatchdogScript): string {
  const unit = quote(script.unit);
  const baseline = quote(`InvocationID=${script.baselineInvocationId}`);
  return `#!/bin/sh
# Written by kubelet-sysctl-agent. Puts back what a transaction replaced, unless it was committed.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=${quote(script.directory)}
mode=\${1:-timer}
pause=5
tried=no

# Whoever renames "armed" decides; a commit renames it too, and only one of the two renames can succeed.
mv "$here/armed" "$here/fired" 2>/dev/null || [ -e "$here/fired" ] || [ -e "$here/reverting" ] || exit 0

# same FILE FILE: the dot keeps the shell from dropping last line breaks.
same() {
  [ -e "$1" ] && [ "$(cat "$1" && echo .)" = "$(cat "$2" && echo .)" ]
}
# keep FILE COPY: the first one counts, and is whole or not there.
keep() {
  if [ -e "$1" ] && [ ! -e "$2" ]; then cp -p "$1" "$2.part" && mv -f "$2.part" "$2" || :; fi
}
# put_back TARGET PREVIOUS SAVED: what stands there now is kept as SAVED.found.
put_back() {
  # One and the same file under both names: it was never replaced, and an edit in it is somebody else's.
  if [ "$1" -ef "$2" ]; then return; fi
  same "$1" "$3" || keep "$1" "$3.found"
  if [ -e "$2" ]; then mv -f "$2" "$1" && return; fi
  if same "$1" "$3"; then return; fi
  # Not under the name of the kept file: a copy that was cut off must never be taken for it.
  if cp -p "$3" "$2.copy" && mv -f "$2.copy" "$1"; then
    if command -v restorecon >/dev/null 2>&1; then restorecon "$1" || :; fi
  else
    status=1
  fi
}
# take_away TARGET KEPT
take_away() {
  keep "$1" "$2.found"
  rm -f "$1" || status=1
}
# set_sysctl VALUE FILE
set_sysctl() {
  printf '%s\\n' "$1" >"$2" || :
}
restore() {
  status=0
${indented(script.sysctls.map((sysctl) => `set_sysctl ${quote(sysctl.value)} ${quote(sysctl.procPath)}`))}
  # Nothing was written yet: whatever the files hold is somebody else's.
  [ -e "$here/${writingMark}" ] || return 0
${indented(script.restorations.map((restoration, index) => restoreLine(script.directory, restoration, index)))}
  [ "$status" -eq 0 ] || return 1
  sync 2>/dev/null || :
${indented(script.reload ? ['systemctl daemon-reload || return 1'] : [])}
}
start_kubelet() {
  [ -e "$here/${writingMark}" ] || return 0
  if [ "$mode" = boot ]; then
    # Before the kubelet's first start: nothing runs with the new files yet.
    systemctl --no-block try-restart ${unit} || :
    return 0
  fi
  if [ "$tried" = yes ]; then
    # Not a moment too early for systemd's own attempt, which another restart would only begin anew.
    case $(systemctl show -p ActiveState ${unit}) in
      ActiveState=active) return 0 ;;
      ActiveState=activating) return 1 ;;
    esac
  elif [ "$(systemctl show -p InvocationID ${unit})" = ${baseline} ] && systemctl -q is-active ${unit}; then
    return 0
  fi
  tried=yes
  systemctl reset-failed ${unit} 2>/dev/null || :
  systemctl restart ${unit}
}
# again WHAT: waits, longer each time, and ends at once where somebody finishes this transaction meanwhile: the next
# one needs the name of this service.
again() {
  [ "$mode" != boot ] || exit 1
  echo "kubelet-sysctl-agent: $1; trying again in $pause s" >&2
  left=$pause
  while [ "$left" -gt 0 ]; do
    sleep 5
    left=$((left - 5))
    [ -e "$here/fired" ] || [ -e "$here/reverting" ] || exit 0
  done
  pause=$((pause * 2))
  [ "$pause" -le 300 ] || pause=300
}

until restore; do again "not all of the old files are back"; done
until start_kubelet; do again "the old files are back, and the kubelet does not start with them"; done

# Before the last word is said: afterwards these names may belong to the next transaction.
${script.restorations
  .filter(({ saved }) => saved !== undefined)
  .map(({ path }) => `rm -f ${quote(previousPath(path))}`)
  .join('\n')}
${script.madeDirectories.map((directory) => `rmdir ${quote(directory)} 2>/dev/null || :`).join('\n')}
mv "$here/fired" "$here/restored" 2>/dev/null || mv "$here/reverting" "$here/restored" 2>/dev/null || :
sync 2>/dev/null || :
`;
}

/** Runs the script at boot, before the kubelet: a power cut must not start an unproven command line. */
export function guardUnit(directory: string, stateDirectory: string, unit: string): string {
  return `# Written by kubelet-sysctl-agent for the length of one transaction; removed when it ends.
[Unit]
Description=Put back the kubelet's files if a power cut came in the middle of a change
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target ${unit} shutdown.target
Conflicts=shutdown.target
RequiresMountsFor=${stateDirectory}

[Service]
Type=oneshot
ExecStart=/bin/sh ${directory}/restore.sh boot
`;
}

/** Where the program above puts a copy together before it renames it; removed when the transaction ends. */
export function copyPath(path: string): string {
  return `${previousPath(path)}.copy`;
}

/** What the transient timer runs. */
export function watchdogCommand(directory: string): readonly string[] {
  return ['/bin/sh', `${directory}/restore.sh`, 'timer'];
}

/** The script's facts of one transaction. `backupDirectory` is `backup/ID` on the host. */
export function scriptOf(
  journal: Pick<Journal, 'plan' | 'baseline' | 'madeDirectories'>,
  backupDirectory: string,
  procPathOf: (name: string) => string,
): WatchdogScript {
  return {
    directory: backupDirectory,
    unit: journal.plan.unit,
    restorations: journal.plan.files.map((file, index) => ({
      path: file.path,
      saved: file.before === null ? undefined : `${backupDirectory}/${index}`,
    })),
    sysctls: journal.plan.sysctlWrites.map((write) => ({
      procPath: procPathOf(write.name),
      value: write.before,
    })),
    reload: journal.plan.reload,
    baselineInvocationId: journal.baseline?.invocationId ?? '',
    madeDirectories: journal.madeDirectories ?? [],
  };
}

function restoreLine(directory: string, restoration: Restoration, index: number): string {
  if (restoration.saved === undefined)
    return `take_away ${quote(restoration.path)} ${quote(`${directory}/${index}`)}`;
  return `put_back ${quote(restoration.path)} ${quote(previousPath(restoration.path))} ${quote(restoration.saved)}`;
}

function indented(lines: readonly string[]): string {
  // A function needs a command.
  return (lines.length === 0 ? [':'] : lines).map((line) => `  ${line}`).join('\n');
}

/** One word for /bin/sh, whatever it holds. */
function quote(word: string): string {
  if (word.includes('\0')) throw new AgentError('INTERNAL', 'a NUL byte cannot stand in a shell word');
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
