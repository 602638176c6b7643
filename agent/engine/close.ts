import { sha256 } from '../host/read-text.ts';
import type { AuditLine, Journal, Verdict } from '../transaction/journal.ts';
import { copyPath, previousPath, watchdogNames } from '../transaction/watchdog.ts';
import { removeGuard } from './guard.ts';
import type { HostPorts, Report } from './ports.ts';

const keptTransactions = 10;

/**
 * Ends a transaction whose fate is sealed: removes what only served its safety, then writes the verdict and one
 * audit line. May be repeated; a failure to tidy up never changes the verdict.
 */
export async function closeJournal(
  host: HostPorts,
  journal: Journal,
  verdict: Verdict,
  report: Report,
): Promise<Journal> {
  const { files, state, systemd } = host;
  for (const name of watchdogNames) await systemd.stopTimer(name).catch(() => undefined);
  await removeGuard(files).catch(() => undefined);
  for (const file of journal.plan.files) {
    for (const path of [previousPath(file.path), copyPath(file.path)]) {
      await files.discard(path).catch(() => undefined);
    }
  }

  for (const directory of await madeDirectories(host, journal))
    await files.removeEmptyDirectory(directory).catch(() => undefined);

  const closed: Journal = { ...journal, state: verdict.kind, updatedAtMs: host.clock.now(), verdict };
  await state.writeJournal(closed);
  try {
    await state.audit(auditLine(closed, verdict));
  } catch (error) {
    await report({ kind: 'auditFailed', message: String(error) });
  }
  await state.prune(keptTransactions).catch(() => undefined);
  await report({ kind: 'closed', journal: closed });
  return closed;
}

/** Directories that this transaction made, or that were made for a file which it took away; the innermost first. */
async function madeDirectories(host: HostPorts, journal: Journal): Promise<readonly string[]> {
  const removed = journal.plan.files.filter(({ after }) => after === null).map(({ path }) => path);
  const history = removed.length === 0 ? [] : await host.state.history().catch(() => []);
  const makers = removed.map((removedPath) =>
    history.find(
      ({ state, plan }) =>
        state === 'committed' &&
        plan.files.some(
          ({ path, before, after }) => path === removedPath && before === null && after !== null,
        ),
    ),
  );
  const made = new Set([journal, ...makers].flatMap((one) => one?.madeDirectories ?? []));
  return [...made].sort((a, b) => b.length - a.length);
}

/** The same report, but whatever it throws is its own affair: a closed terminal must not stop a roll-back. */
export function undisturbed(report: Report): Report {
  return async (event) => report(event).catch(() => undefined);
}

function auditLine(journal: Journal, verdict: Verdict): AuditLine {
  const { plan } = journal;
  return {
    at: new Date(journal.updatedAtMs).toISOString(),
    id: journal.id,
    kind: journal.kind,
    requestedBy: journal.requestedBy,
    planHash: journal.planHash,
    unit: plan.unit,
    added: plan.entries.added,
    removed: plan.entries.removed,
    files: plan.files.map((file) => ({
      path: file.path,
      before: file.before?.sha256 ?? null,
      after: file.after === null ? null : sha256(file.after),
    })),
    verdict: verdict.kind,
    by: verdict.by,
    ...(verdict.code === undefined ? {} : { code: verdict.code }),
    message: verdict.message,
  };
}
