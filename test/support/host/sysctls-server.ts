// Answers requests for the real sysctls of whatever namespaces it was started in: one JSON line each way.
import { createInterface } from 'node:readline';
import { systemCommands } from '../../../agent/host/commands.ts';
import { hostSysctls } from '../../../agent/host/sysctls.ts';
import type { SysctlReader } from '../../../agent/host/sysctl-reader.ts';
import type { SysctlsRequest } from './remote-sysctls.ts';

const procDir = process.argv[2] ?? '/proc';
const sysctls = hostSysctls({ commands: systemCommands, procDir });
let reader: SysctlReader | undefined;

process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as SysctlsRequest))}\n`);
}

async function answer(request: SysctlsRequest): Promise<unknown> {
  switch (request.kind) {
    case 'read': {
      const { readings, ...means } = await sysctls.read(request.names);
      return { readings: [...readings], ...means };
    }
    case 'write':
      return sysctls.write(request.name, request.value);
    case 'list':
      return sysctls.list(request.prefix);
    case 'openReader':
      reader = sysctls.openReader(request.names);
      return reader !== undefined;
    case 'readReader':
      return Array.from({ length: reader?.length ?? 0 }, (_unused, index) => reader?.read(index));
    default:
      return request satisfies never;
  }
}
