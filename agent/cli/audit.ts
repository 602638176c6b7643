import { readFile } from 'node:fs/promises';
import { auditPrivileged } from '../admission/audit.ts';
import type { Problem } from '../errors.ts';
import { unite } from '../kubelet/allowlist.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import { loadDocuments } from './load-documents.ts';
import type { OutputOptions, PolicyOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderAudit } from './render-audit.ts';

export interface AuditArguments extends OutputOptions, Pick<PolicyOptions, 'policy' | 'allow'> {}

/** `audit`: finds workloads that set sysctls in privileged containers. Exit code 2 where there are some. */
export async function audit(
  context: CliContext,
  files: readonly string[],
  options: AuditArguments,
): Promise<ExitCode> {
  const loaded = await loadDocuments(options);
  const objects: unknown[] = [];
  const problems: Problem[] = [...loaded.problems];
  for (const file of files) {
    const read = await readObjects(file);
    if (read.ok) objects.push(read.value);
    else problems.push(read.problem);
  }
  if (problems.length > 0) return refuse(context, 'audit', options.output, problems);

  const entries = unite(...loaded.policies.map(({ spec }) => spec.kubelet.allowedUnsafeSysctls));
  const workloads = auditPrivileged(objects, entries);
  const exitCode = workloads.length > 0 ? exitCodes.changes : exitCodes.done;
  if (options.output === 'json') {
    const outcome = workloads.length > 0 ? 'found' : 'clean';
    writeJson(context, {
      ...jsonHead(context, 'audit', { outcome, exitCode, problems: [] }),
      entries,
      workloads,
    });
  } else {
    writeLines(
      context.stdout,
      renderAudit(workloads, { width: context.stdout.columns, colour: context.stdout.colour }),
    );
  }
  return exitCode;
}

type ReadObjects =
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: Problem };

async function readObjects(file: string): Promise<ReadObjects> {
  const shown = file === '-' ? 'standard input' : file;
  try {
    return {
      ok: true,
      value: JSON.parse(await readFile(file === '-' ? '/dev/stdin' : file, 'utf8')) as unknown,
    };
  } catch (error) {
    const message = `${shown} holds no JSON: ${error instanceof Error ? error.message : String(error)}`;
    return {
      ok: false,
      problem: { code: 'USAGE', message, next: 'give it what `kubectl get pods -A -o json` prints' },
    };
  }
}
