import { existsSync } from 'node:fs';
import path from 'node:path';
import { AgentError } from '../errors.ts';
import type { Commands } from './commands.ts';
import type { Relabel } from './files.ts';

/**
 * On a host with SELinux, gives a new file the label of the one it replaces: systemd may not read a unit with another
 * label. A new name takes its label from the directory, which is right by itself. A file system without labels is fine.
 * @throws AgentError FILE_WRITE_FAILED where the label cannot be set, before anything was replaced.
 */
export function selinuxRelabel(
  commands: Commands,
  root: string,
  enforcing = '/sys/fs/selinux/enforce',
): Relabel {
  return async (temporary, like) => {
    if (!existsSync(enforcing)) return;
    const onHost = (file: string): string =>
      path.resolve(root) === '/' ? file : `/${path.relative(root, file)}`;
    const chcon = ['chcon', `--reference=${onHost(like)}`, onHost(temporary)];
    const command =
      path.resolve(root) === '/' ? chcon : ['nsenter', '--mount=/proc/1/ns/mnt', '--', ...chcon];
    const [file = '', ...args] = command;
    const result = await commands.run(file, args, { deadlineMs: 5_000 });
    if (result.kind === 'exited' && (result.code === 0 || hasNoLabel.test(result.stderr))) return;
    const why = result.kind === 'exited' ? result.stderr.trim() : result.kind;
    throw new AgentError(
      'FILE_WRITE_FAILED',
      `could not give ${onHost(temporary)} the SELinux label of ${onHost(like)}: ${why}`,
      {
        next: 'the host needs `chcon`; look at `ls -Z` of that file',
      },
    );
  };
}

// ENOTSUP and ENODATA in the words of the C library; the file that is replaced has no label to keep.
const hasNoLabel = /failed to get security context of .*: (Operation not supported|No data available)/;
