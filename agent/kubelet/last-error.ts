/**
 * Why a kubelet ended, in its own words: the last error of its log, without klog's header, on one line of at most 300
 * characters. Where no line says that it is an error (a wrapper, a stack trace), the last one that is no mere notice.
 * Undefined where nothing was said. Takes the text and the JSON form of component-base/logs.
 */
export function lastError(lines: readonly string[]): string | undefined {
  const said = blocksOf(lines).map(readLine);
  const line = said.findLast(({ kind }) => kind === 'error') ?? said.findLast(({ kind }) => kind === 'plain');
  // What a process wrote must not steer the terminal, or the page, of whoever reads it.
  const text = line?.text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  if (text === undefined || text === '') return undefined;
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}

const longest = 300;

interface Said {
  readonly kind: 'error' | 'plain' | 'notice';
  readonly text: string;
}

/** klog: severity, month and day, time, thread, `file.go:line]`, then the message. */
const klogHeader = /^([IWEF])\d{4} [\d:.]+ +\d+ [^ \]]+:\d+\] /;
const errorWord = /^(Error|error|panic|fatal error|FATAL)\b/;
/** The kubelet names each flag that its configuration file should hold; help and stack traces are indented. */
const noticeWord = /^(Flag --|\s|\{|goroutine |$)/;

/** klog writes a value of several lines as `name=<`, the lines behind a tab, and ` >`: one line here. */
function blocksOf(lines: readonly string[]): readonly string[] {
  const blocks: string[] = [];
  let open = false;
  for (const line of lines) {
    if (open && /^(\t| >)/.test(line)) blocks.push(`${blocks.pop() ?? ''} ${line.trim()}`);
    else blocks.push(line);
    open = line.endsWith('=<') || (open && line.startsWith('\t'));
  }
  return blocks;
}

function readLine(line: string): Said {
  const header = klogHeader.exec(line);
  if (header !== null) {
    const isError = header[1] === 'E' || header[1] === 'F';
    return { kind: isError ? 'error' : 'notice', text: line.slice(header[0].length) };
  }
  const json = jsonError(line);
  if (json !== undefined) return { kind: 'error', text: json };
  return { kind: errorWord.test(line) ? 'error' : noticeWord.test(line) ? 'notice' : 'plain', text: line };
}

/** An error has `err`, and no `v` (the verbosity of an information). */
function jsonError(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const { msg, err, v } = JSON.parse(line) as Record<string, unknown>;
    return typeof err === 'string' && v === undefined
      ? `${typeof msg === 'string' ? `${msg}: ` : ''}${err}`
      : undefined;
  } catch {
    return undefined;
  }
}
