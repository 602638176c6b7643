/** Whether an error of the file system is this one (`ENOENT`, `EROFS`, …). */
export function isErrno(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
