/** How many lines around a change are shown. */
const contextLines = 3;
// Beyond this many changed lines the shortest script is not looked for: the work grows with its square.
const mostEdits = 500;

/**
 * A unified diff (GNU diffutils manual, "Detailed Description of Unified Format") of one file, line by line without
 * their ends; `null` is a file that is not there. Empty for equal texts. Applying it to `before` gives `after`.
 */
export function unifiedDiff(path: string, before: string | null, after: string | null): readonly string[] {
  if (before === after) return [];
  const old = linesOf(before ?? '');
  const now = linesOf(after ?? '');
  const hunks = hunksOf(editsOf(old, now));
  const name = path.replace(/^\/+/, '');
  return [
    before === null ? '--- /dev/null' : `--- a/${name}`,
    after === null ? '+++ /dev/null' : `+++ b/${name}`,
    ...hunks.flatMap(renderHunk),
  ];
}

interface Edit {
  readonly kind: ' ' | '-' | '+';
  /** With its end, where it has one. */
  readonly line: string;
}

interface Hunk {
  readonly oldStart: number;
  readonly newStart: number;
  readonly edits: readonly Edit[];
}

function linesOf(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** What both begin and end with is set aside; only the middle is compared. */
function editsOf(old: readonly string[], now: readonly string[]): readonly Edit[] {
  const most = Math.min(old.length, now.length);
  let head = 0;
  while (head < most && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < most - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const same = (line: string): Edit => ({ kind: ' ', line });
  return [
    ...old.slice(0, head).map(same),
    ...shortest(old.slice(head, old.length - tail), now.slice(head, now.length - tail)),
    ...old.slice(old.length - tail).map(same),
  ];
}

/** Myers, "An O(ND) Difference Algorithm and Its Variations", 1986: the furthest reaching paths, then back along them. */
function shortest(old: readonly string[], now: readonly string[]): readonly Edit[] {
  const most = Math.min(old.length + now.length, mostEdits);
  const reached = new Map<number, number>([[1, 0]]);
  const trace: ReadonlyMap<number, number>[] = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(new Map(reached));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = startOf(reached, diagonal, edits);
      while (x < old.length && x - diagonal < now.length && old[x] === now[x - diagonal]) x += 1;
      reached.set(diagonal, x);
      if (x >= old.length && x - diagonal >= now.length) return backtrack(old, now, trace);
    }
  }
  return [
    ...old.map((line) => ({ kind: '-', line }) as const),
    ...now.map((line) => ({ kind: '+', line }) as const),
  ];
}

function startOf(reached: ReadonlyMap<number, number>, diagonal: number, edits: number): number {
  return isInsertion(reached, diagonal, edits)
    ? (reached.get(diagonal + 1) ?? 0)
    : (reached.get(diagonal - 1) ?? 0) + 1;
}

/** Whether the path that reaches furthest on a diagonal comes from the one above it. */
function isInsertion(reached: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  if (diagonal === -edits || diagonal === edits) return diagonal === -edits;
  return (reached.get(diagonal - 1) ?? -1) < (reached.get(diagonal + 1) ?? -1);
}

function backtrack(
  old: readonly string[],
  now: readonly string[],
  trace: readonly ReadonlyMap<number, number>[],
): readonly Edit[] {
  const edits: Edit[] = [];
  let x = old.length;
  let y = now.length;
  for (let depth = trace.length - 1; depth >= 0; depth -= 1) {
    const reached = trace[depth] ?? new Map<number, number>();
    const diagonal = x - y;
    const start = startOf(reached, diagonal, depth);
    while (x > start && y > start - diagonal) {
      x -= 1;
      y -= 1;
      edits.push({ kind: ' ', line: old[x] ?? '' });
    }
    if (depth === 0) break;
    if (isInsertion(reached, diagonal, depth)) {
      y -= 1;
      edits.push({ kind: '+', line: now[y] ?? '' });
    } else {
      x -= 1;
      edits.push({ kind: '-', line: old[x] ?? '' });
    }
  }
  return edits.reverse();
}

function hunksOf(edits: readonly Edit[]): readonly Hunk[] {
  const hunks: Hunk[] = [];
  let oldLine = 1;
  let newLine = 1;
  const starts = edits.map((edit) => {
    const start = [oldLine, newLine] as const;
    if (edit.kind !== '+') oldLine += 1;
    if (edit.kind !== '-') newLine += 1;
    return start;
  });
  let index = 0;
  while (index < edits.length) {
    if (edits[index]?.kind === ' ') {
      index += 1;
      continue;
    }
    const from = Math.max(0, index - contextLines);
    let last = index;
    for (let next = index; next < edits.length && next - last <= 2 * contextLines + 1; next += 1) {
      if (edits[next]?.kind !== ' ') last = next;
    }
    const to = Math.min(edits.length, last + 1 + contextLines);
    const [oldStart = 1, newStart = 1] = starts[from] ?? [];
    hunks.push({ oldStart, newStart, edits: edits.slice(from, to) });
    index = to;
  }
  return hunks;
}

function renderHunk({ oldStart, newStart, edits }: Hunk): readonly string[] {
  const olds = edits.filter((edit) => edit.kind !== '+').length;
  const news = edits.filter((edit) => edit.kind !== '-').length;
  return [
    `@@ -${range(oldStart, olds)} +${range(newStart, news)} @@`,
    ...edits.flatMap(({ kind, line }) =>
      line.endsWith('\n')
        ? [`${kind}${line.slice(0, -1)}`]
        : [`${kind}${line}`, '\\ No newline at end of file'],
    ),
  ];
}

// An empty range names the line before it.
function range(start: number, count: number): string {
  return count === 1 ? String(start) : `${count === 0 ? start - 1 : start},${count}`;
}
