import { closeSync, constants, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

/** What came of reading one file below /proc/sys; `mode` is there when opening was refused and the file could be seen. */
export type RawReading =
  { readonly text: string } | { readonly code: string; readonly mode?: number } | { readonly tooLong: true };

/** A sysctl's value, or why there is none. */
export type SysctlReading =
  /** Without the final newline; vectors keep the kernel's tabs. */
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'unreadable'; readonly reason: UnreadableReason };

export type UnreadableReason = 'absent' | 'writeOnly' | 'denied' | 'ioError' | 'wrongNamespace' | 'tooLong';

// Each read is one call from the start of the file: most handlers of the kernel answer nothing at a later position, so
// that a buffer which was filled may have cut the value. The kernel allocates (and clears) as much as is asked for:
// hence small first. It refuses 4 MiB and more.
const bufferSizes = [4096, 64 * 1024, 1024 * 1024] as const;

/** Reads an open file below /proc/sys from its start, into `first` if it fits. @throws the errno error. */
export function readOpenSysctl(fd: number, first: Buffer): Buffer | undefined {
  for (const size of bufferSizes) {
    const buffer = size === first.length ? first : Buffer.allocUnsafe(size);
    const length = readSync(fd, buffer, 0, size, 0);
    if (length < size) return buffer.subarray(0, length);
  }
  return undefined;
}

/** A buffer for readOpenSysctl. */
export function sysctlBuffer(): Buffer {
  return Buffer.alloc(bufferSizes[0]);
}

/** Reads one file below /proc/sys. Never throws. */
export function readSysctlFile(file: string): RawReading {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY);
  } catch (error) {
    return { code: errnoOf(error), ...modeOf(file) };
  }
  try {
    const bytes = readOpenSysctl(fd, sysctlBuffer());
    return bytes === undefined ? { tooLong: true } : { text: bytes.toString('utf8') };
  } catch (error) {
    return { code: errnoOf(error) };
  } finally {
    closeSync(fd);
  }
}

/** Writes one file below /proc/sys with one write(2); undefined when done, else the kernel's errno. */
export function writeSysctlFile(file: string, text: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY);
  } catch (error) {
    return errnoOf(error);
  }
  try {
    const bytes = Buffer.from(text, 'utf8');
    return writeSync(fd, bytes, 0, bytes.length) === bytes.length ? undefined : 'EIO';
  } catch (error) {
    return errnoOf(error);
  } finally {
    closeSync(fd);
  }
}

/** Every file below a directory, as paths; what vanishes meanwhile (network devices do) is left out. */
export function listSysctlFiles(directory: string): string[] {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap((entry) => {
    const full = path.join(directory, entry.name);
    if (entry.isDirectory()) return listSysctlFiles(full);
    return entry.isFile() ? [full] : [];
  });
}

/** Names what a raw reading means. */
export function classify(raw: RawReading): SysctlReading {
  if ('text' in raw) {
    return { kind: 'value', value: raw.text.endsWith('\n') ? raw.text.slice(0, -1) : raw.text };
  }
  if ('tooLong' in raw) return { kind: 'unreadable', reason: 'tooLong' };
  return { kind: 'unreadable', reason: reasonFor(raw.code, raw.mode) };
}

/** The errno's name (`EINVAL`) of anything that was thrown. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
}

function reasonFor(code: string, mode: number | undefined): UnreadableReason {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EISDIR':
      return 'absent';
    case 'EACCES':
    case 'EPERM':
      // Root is bound by the modes below /proc/sys: nobody at all may read this one.
      return mode !== undefined && (mode & 0o444) === 0 ? 'writeOnly' : 'denied';
    default:
      return 'ioError';
  }
}

function modeOf(file: string): { mode?: number } {
  try {
    return { mode: statSync(file).mode };
  } catch {
    return {};
  }
}
