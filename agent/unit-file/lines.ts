/** One physical line: its content without the end-of-line marker, and where the next line starts. */
export interface PhysicalLine {
  readonly start: number;
  readonly contentEnd: number;
  readonly end: number;
}

/** systemd's WHITESPACE (src/basic/string-util.h): nothing else separates words or is trimmed. */
export const blanks = ' \t\n\r';

/**
 * Cut a text into lines the way systemd's read_line() does (src/basic/fileio.c): LF, CR and NUL end a line, and a
 * run of different markers (CR LF, LF CR, LF NUL, …) counts as one. The slices [start, end) cover the text.
 */
export function physicalLines(text: string): readonly PhysicalLine[] {
  const lines: PhysicalLine[] = [];
  let start = 0;
  while (start < text.length) {
    let contentEnd = start;
    while (contentEnd < text.length && !isMarker(text.charAt(contentEnd))) contentEnd++;
    const end = contentEnd + lineEndAt(text, contentEnd).length;
    lines.push({ start, contentEnd, end });
    start = end;
  }
  return lines;
}

/** The end-of-line marker that starts at `offset`; empty when there is none. */
export function lineEndAt(text: string, offset: number): string {
  let end = offset;
  while (end < text.length && isMarker(text.charAt(end))) {
    const seen = text.slice(offset, end);
    if (seen.includes('\0') || seen.includes(text.charAt(end))) break;
    end++;
  }
  return text.slice(offset, end);
}

/** Trim systemd's blanks; `String.trim` would also take a byte order mark and other spaces away. */
export function strip(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && blanks.includes(text.charAt(start))) start++;
  while (end > start && blanks.includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

function isMarker(character: string): boolean {
  return character === '\n' || character === '\r' || character === '\0';
}
