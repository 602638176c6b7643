import { AgentError } from '../errors.ts';
import type { HostFiles } from '../host/files.ts';
import type { FileChange, Plan } from '../plan/plan.ts';
import { sameValue } from '../sysctl/values.ts';
import type { HostPorts } from './ports.ts';

const newFile = { mode: 0o644, uid: 0, gid: 0 };

/** Writes the kernel values of a plan and reads them back. @throws AgentError SYSCTL_WRITE_FAILED. */
export async function writeSysctls(
  { sysctls }: Pick<HostPorts, 'sysctls'>,
  { sysctlWrites }: Pick<Plan, 'sysctlWrites'>,
): Promise<void> {
  for (const write of sysctlWrites) {
    const result = await sysctls.write(write.name, write.value);
    if (result.kind === 'refused') {
      throw new AgentError(
        'SYSCTL_WRITE_FAILED',
        `the kernel refused ${write.name} = ${write.value}: ${result.reason}`,
      );
    }
  }
  const { readings } = await sysctls.read(sysctlWrites.map((write) => write.name));
  for (const write of sysctlWrites) {
    const reading = readings.get(write.name);
    if (reading?.kind !== 'value' || !sameValue(reading.value, write.value)) {
      throw new AgentError(
        'SYSCTL_WRITE_FAILED',
        `${write.name} reads ${reading?.kind === 'value' ? JSON.stringify(reading.value) : 'unknown'} after ${JSON.stringify(write.value)} was written`,
      );
    }
  }
}

/** Puts one file of a plan in place, or takes it away. @throws AgentError like HostFiles.replace. */
export async function writeFile(files: HostFiles, { path, before, after }: FileChange): Promise<void> {
  if (after === null) await files.remove(path, before?.text ?? '');
  else await files.replace(path, after, before ?? newFile, before?.text ?? null);
}
