/** The fields of one record, or what Go's encoding/csv complains about. */
export type CsvReading =
  | { readonly ok: true; readonly fields: readonly string[] }
  | { readonly ok: false; readonly complaint: string };

/**
 * Reads a flag's value as pflag's StringSlice does: the first record of Go's encoding/csv with its default settings.
 * An empty value is an empty list; blanks count; quotes count where a field starts and are an error elsewhere; later
 * records are dropped without a word.
 */
export function readCsvRecord(value: string): CsvReading {
  if (value === '') return { ok: true, fields: [] };
  // Go's reader skips empty lines before a record, turns \r\n into \n and drops a \r at the very end.
  const text = value.replaceAll('\r\n', '\n').replace(/\r$/, '').replace(/^\n+/, '');
  if (text === '') return { ok: false, complaint: 'EOF' };
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const field = text[at] === '"' ? quotedField(text, at + 1) : plainField(text, at);
    if (!field.ok) return field;
    fields.push(field.text);
    if (text[field.end] !== ',') return { ok: true, fields };
    at = field.end + 1;
  }
}

type FieldReading =
  | { readonly ok: true; readonly text: string; readonly end: number }
  | { readonly ok: false; readonly complaint: string };

function plainField(text: string, start: number): FieldReading {
  const length = text.slice(start).search(/[,\n]/);
  const end = length === -1 ? text.length : start + length;
  const field = text.slice(start, end);
  return field.includes('"')
    ? { ok: false, complaint: 'bare " in non-quoted field' }
    : { ok: true, text: field, end };
}

function quotedField(text: string, start: number): FieldReading {
  let field = '';
  let at = start;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return { ok: false, complaint: 'extraneous or missing " in quoted-field' };
    field += text.slice(at, quote);
    const after = text[quote + 1];
    if (after === undefined || after === ',' || after === '\n')
      return { ok: true, text: field, end: quote + 1 };
    if (after !== '"') return { ok: false, complaint: 'extraneous or missing " in quoted-field' };
    field += '"';
    at = quote + 2;
  }
}
