import { statSync } from 'node:fs';

/** `DEVICE:INODE` of a file, links followed; undefined where there is none. */
export function fileId(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
