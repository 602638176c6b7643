/**
 * The one spelling that everything compares: the kubelet's rule since 1.23 (NormalizeName in component-helpers), which
 * is also sysctl(8)'s. The first separator decides: a dot (or none) leaves the name alone, a slash swaps every slash
 * and dot. Works on patterns too. Idempotent, because a swapped name has a dot first.
 */
export function normaliseName(name: string): string {
  return name.match(/[./]/)?.[0] === '/' ? swapSeparators(name) : name;
}

/**
 * Whether a name can be read under /proc/sys and written into sysctl.d without meaning anything else: no step out of
 * the tree, no blanks, no globs, nothing that sysctl.d reads as syntax. Both spellings are taken.
 */
export function isValidSysctlName(name: string): boolean {
  return isSafePath(swapSeparators(normaliseName(name)));
}

/**
 * `net.ipv4.conf.eth0/100.rp_filter` becomes `/proc/sys/net/ipv4/conf/eth0.100/rp_filter`. Only for names that passed
 * isValidSysctlName; two different normalised names never share a path.
 */
export function toProcPath(name: string): string {
  return procSys + swapSeparators(normaliseName(name));
}

/** The normalised name of a file under /proc/sys; undefined where no name leads back to that path. */
export function fromProcPath(path: string): string | undefined {
  if (!path.startsWith(procSys)) return undefined;
  const relative = path.slice(procSys.length);
  return isSafePath(relative) ? swapSeparators(relative) : undefined;
}

const procSys = '/proc/sys/';

// The first part may hold no dot: the name would then have a slash first and be read the other way round. The kernel
// has no such directory. Later parts may be interface names, which hold anything but slashes, colons and blanks; what
// sysctl.d reads as a glob, an assignment, a quote or an escape is refused although an interface could be called so.
const firstPart = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/;
const laterPart = /^[\p{L}\p{N}!$%&()+,\-.@^_|~]+$/u;

function isSafePath(relative: string): boolean {
  const [first, ...later] = relative.split('/');
  return (
    first !== undefined &&
    firstPart.test(first) &&
    later.every((part) => laterPart.test(part) && part !== '.' && part !== '..')
  );
}

function swapSeparators(text: string): string {
  return text.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
}
