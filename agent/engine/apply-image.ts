import { AgentError, type ForceableCode, type Problem, problemOf } from '../errors.ts';
import type { HostFiles } from '../host/files.ts';
import type { FileChange } from '../plan/plan.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { type Planned, planNode } from './apply.ts';
import type { ObservationPorts } from './observe.ts';

export type ImageOutcome =
  | { readonly kind: 'converged'; readonly planned: Planned }
  | { readonly kind: 'refused'; readonly planned: Planned; readonly problems: readonly Problem[] }
  /** The files are written. Nothing was reloaded or restarted, and no sysctl of any kernel was set. */
  | { readonly kind: 'written'; readonly planned: Planned; readonly files: readonly FileChange[] };

/**
 * Writes a plan's files below the root of an image: all of them or none. No journal and no watchdog: nothing runs
 * there that could break. @throws AgentError ROLLBACK_FAILED where a half-written image could not be put back.
 */
export async function applyToImage(
  ports: ObservationPorts,
  policy: NodePolicy,
  force: readonly ForceableCode[],
  nowMs: number,
): Promise<ImageOutcome> {
  if (ports.systemd !== undefined) throw new AgentError('INTERNAL', 'a running node was taken for an image');
  const planned = await planNode(ports, policy, force, nowMs);
  const { outcome } = planned;
  switch (outcome.kind) {
    case 'converged':
      return { kind: 'converged', planned };
    case 'refused':
      return { kind: 'refused', planned, problems: outcome.problems };
    case 'change':
      break;
  }
  const { files } = outcome.plan;
  if (files.length === 0) return { kind: 'converged', planned };
  const written: FileChange[] = [];
  try {
    for (const file of files) {
      await write(ports.files, file);
      written.push(file);
    }
  } catch (error) {
    for (const file of written.reverse()) await putBack(ports.files, file);
    return { kind: 'refused', planned, problems: [problemOf(error)] };
  }
  return { kind: 'written', planned, files };
}

async function write(files: HostFiles, { path, before, after }: FileChange): Promise<void> {
  if (after === null) await files.remove(path, before?.text ?? '');
  else await files.replace(path, after, before ?? newFile, before?.text ?? null);
}

async function putBack(files: HostFiles, { path, before, after }: FileChange): Promise<void> {
  try {
    await write(files, {
      path,
      before: after === null ? null : { ...(before ?? { ...newFile, sha256: '' }), text: after },
      after: before?.text ?? null,
    });
  } catch (cause) {
    throw new AgentError(
      'ROLLBACK_FAILED',
      `${path} was written and could not be put back: ${problemOf(cause).message}`,
      {
        cause,
        next: 'build the image anew',
      },
    );
  }
}

const newFile = { mode: 0o644, uid: 0, gid: 0 } as const;
