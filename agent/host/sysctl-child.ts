import path from 'node:path';
import type { Commands } from './commands.ts';
import { namespaceLink } from './namespaces.ts';
import type { RawReading } from './proc-sys.ts';

/** The namespaces that hold sysctls and can be entered from below. */
export type Enterable = 'net' | 'ipc' | 'uts';

/** What the child is asked to do, on its standard input. Paths are below /proc/sys. */
export interface ChildRequest {
  readonly read?: readonly string[];
  readonly write?: { readonly path: string; readonly text: string };
  /** A directory. */
  readonly list?: string;
  /** Links to look at, to prove where the child was. */
  readonly links: readonly string[];
}

/** What it answers, on its standard output. */
export interface ChildAnswer {
  readonly links: readonly string[];
  /** One for each path, in their order. */
  readonly readings?: readonly RawReading[];
  /** An errno, or null when written. */
  readonly written?: string | null;
  readonly files?: readonly string[];
}

export type Entered =
  | { readonly kind: 'answered'; readonly answer: ChildAnswer }
  | { readonly kind: 'failed'; readonly problem: string };

export interface Entering {
  readonly commands: Commands;
  readonly procDir: string;
  readonly deadlineMs: number;
  readonly kinds: ReadonlySet<Enterable>;
  readonly request: Omit<ChildRequest, 'links'>;
  /** The process whose namespaces are entered; the host's PID 1 unless told. */
  readonly target?: number;
}

/** Does all that is asked in one process in the host's namespaces of these kinds. Never throws. */
export async function runInHost({
  commands,
  procDir,
  deadlineMs,
  kinds,
  request,
  target = 1,
}: Entering): Promise<Entered> {
  const entered = [...kinds];
  const targetPid = String(target);
  const flags = entered.map((kind) => `--${kind}=${path.join(procDir, targetPid, 'ns', kind)}`);
  const links = entered.map((kind) => path.join(procDir, 'self', 'ns', kind));
  const result = await commands.run('nsenter', [...flags, '--', process.execPath, '-e', sysctlChildScript], {
    deadlineMs,
    input: JSON.stringify({ ...request, links } satisfies ChildRequest),
    maxBytes: maxAnswerBytes,
  });
  switch (result.kind) {
    case 'exited': {
      if (result.code !== 0) return failed(`nsenter: ${result.stderr.trim() || `exit code ${result.code}`}`);
      const answer = decodeAnswer(result.stdout);
      if (answer === undefined)
        return failed('the process in the host’s namespaces answered something that is no JSON');
      const wrong = entered.find(
        (kind, index) => answer.links[index] !== namespaceLink(procDir, targetPid, kind),
      );
      return wrong === undefined
        ? { kind: 'answered', answer }
        : failed(`nsenter did not enter the ${wrong} namespace`);
    }
    case 'notFound':
      return failed('nsenter is not installed');
    case 'timedOut':
      return failed(`nsenter gave no answer in ${deadlineMs} ms`);
    case 'failed':
      return failed(`nsenter: ${result.reason}`);
    default:
      return result satisfies never;
  }
}

function failed(problem: string): Entered {
  return { kind: 'failed', problem };
}

function decodeAnswer(text: string): ChildAnswer | undefined {
  try {
    return JSON.parse(text) as ChildAnswer;
  } catch {
    return undefined;
  }
}

// A thousand sysctls of a megabyte do not exist; a node has about 1,400, nearly all of a few bytes.
const maxAnswerBytes = 64 * 1024 * 1024;

/**
 * The program that runs in the host's namespaces, for `node -e`. JSON on both sides, so that no value (empty, with
 * newlines, a megabyte) can be taken for another one; and Node itself, because the image holds no other program that
 * could do it. Plain JavaScript that does what proc-sys.ts does; the contract tests run the same suite over both.
 */
const sysctlChildScript = `
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const code = (error) => (typeof error.code === 'string' ? error.code : 'EIO');
function mode(file) {
  try { return { mode: fs.statSync(file).mode }; } catch { return {}; }
}
function read(file) {
  let fd;
  try { fd = fs.openSync(file, 'r'); } catch (error) { return { code: code(error), ...mode(file) }; }
  try {
    for (const size of [4096, 65536, 1048576]) {
      const buffer = Buffer.allocUnsafe(size);
      const length = fs.readSync(fd, buffer, 0, size, 0);
      if (length < size) return { text: buffer.toString('utf8', 0, length) };
    }
    return { tooLong: true };
  } catch (error) { return { code: code(error) }; } finally { fs.closeSync(fd); }
}
function write(file, text) {
  let fd;
  try { fd = fs.openSync(file, fs.constants.O_WRONLY); } catch (error) { return code(error); }
  try {
    const bytes = Buffer.from(text, 'utf8');
    return fs.writeSync(fd, bytes, 0, bytes.length) === bytes.length ? null : 'EIO';
  } catch (error) { return code(error); } finally { fs.closeSync(fd); }
}
function list(directory) {
  let entries;
  try { entries = fs.readdirSync(directory, { withFileTypes: true }); } catch { return []; }
  return entries.flatMap((entry) => {
    const full = path.join(directory, entry.name);
    return entry.isDirectory() ? list(full) : entry.isFile() ? [full] : [];
  });
}
const request = JSON.parse(fs.readFileSync(0, 'utf8'));
const answer = { links: request.links.map((link) => fs.readlinkSync(link)) };
if (request.read) answer.readings = request.read.map(read);
if (request.write) answer.written = write(request.write.path, request.write.text);
if (request.list) answer.files = list(request.list);
fs.writeFileSync(1, JSON.stringify(answer));
`;
