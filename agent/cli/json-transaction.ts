import type { RecoveryOutcome } from '../engine/recover.ts';
import type { Journal } from '../transaction/journal.ts';

/** A transaction as `apply`, `rollback` and `status` show it. */
export function transactionJson(journal: Journal): object {
  return {
    id: journal.id,
    kind: journal.kind,
    undoes: journal.undoes ?? null,
    state: journal.state,
    startedAt: new Date(journal.startedAtMs).toISOString(),
    updatedAt: new Date(journal.updatedAtMs).toISOString(),
    requestedBy: journal.requestedBy,
    planHash: journal.planHash,
    unit: journal.plan.unit,
    entries: journal.plan.entries,
    files: journal.plan.files.map((file) => file.path),
    restart: journal.plan.restart,
    verdict:
      journal.verdict === undefined
        ? null
        : {
            kind: journal.verdict.kind,
            code: journal.verdict.code ?? null,
            message: journal.verdict.message,
            by: journal.verdict.by,
            keptForeignFiles: journal.verdict.keptForeignFiles,
          },
  };
}

/** What became of an earlier, interrupted transaction; null where there was none. */
export function recoveredJson(recovered: RecoveryOutcome): object | null {
  return recovered.kind === 'nothing'
    ? null
    : { outcome: recovered.kind, transaction: transactionJson(recovered.journal) };
}
