import * as fc from 'fast-check';
import { test } from 'tap';
import { parseAllDocuments, stringify } from 'yaml';
import { editYamlList } from '../../../agent/kubelet/yaml-list.ts';

const name = fc.constantFrom(
  'kernel.sem',
  'net.core.somaxconn',
  'net.ipv4.*',
  'max-pods=70',
  'allowed-unsafe-sysctls=net.a,net.b',
);
const scalar = fc.oneof(
  fc.boolean(),
  fc.integer(),
  fc.constantFrom('a', 'b # c', 'x: y', '', 'multi\nline\n', '- x', '010'),
);
const content = fc.dictionary(
  fc.constantFrom('clusterDNS', 'kind', 'maxPods', 'z'),
  fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }), fc.dictionary(fc.constantFrom('k', 'l'), scalar)),
);

/** The same content in the many ways in which people and programs write it. */
const written = fc
  .tuple(
    content,
    fc.option(fc.uniqueArray(name, { maxLength: 4 })),
    fc.constantFrom('block', 'indented', 'flow', 'json', 'pretty'),
    fc.boolean(),
  )
  .map(([others, list, form, tail]) => {
    const value = list === null ? others : { ...others, list };
    const text =
      form === 'json'
        ? JSON.stringify(value)
        : form === 'pretty'
          ? `${JSON.stringify(value, null, 2)}\n`
          : stringify(value, {
              indentSeq: form === 'indented',
              collectionStyle: form === 'flow' ? 'flow' : 'any',
              version: '1.1',
            });
    return {
      text: tail && form !== 'json' && form !== 'pretty' ? `# head\n${text}# tail\n` : text,
      list: list ?? [],
    };
  });

void test('an edited list reads back as meant, and everything else as before', async (t) => {
  let refused = 0;
  let edited = 0;
  fc.assert(
    fc.property(
      written,
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      fc.uniqueArray(name, { maxLength: 3 }),
      ({ text, list }, kept, more) => {
        const append = more.filter((item) => !list.includes(item));
        const items = list.map((item, index) => (kept[index] === true ? item : undefined));
        const result = editYamlList(text, 'list', { items, append });
        if (!result.ok) {
          refused++;
          return;
        }
        edited++;
        const before = parseAllDocuments(text, { version: '1.1', merge: true })[0]?.toJS() as unknown;
        const after = parseAllDocuments(result.text, { version: '1.1', merge: true })[0]?.toJS() as unknown;
        const wanted = {
          ...(typeof before === 'object' ? before : {}),
          list: [...items.filter((item) => item !== undefined), ...append],
        };
        if (JSON.stringify(after) !== JSON.stringify(wanted)) throw new Error(`${text}\n---\n${result.text}`);
        // Growing only adds: what stood there is still there, in its order.
        if (items.every((item) => item !== undefined) && !isSubsequence(text, result.text))
          throw new Error(`${text}\n---\n${result.text}`);
      },
    ),
    { numRuns: 2_000 },
  );
  t.ok(edited > 1_500, `${edited} edited, ${refused} refused`);
});

void test('a growing list in the usual forms is never refused', async (t) => {
  fc.assert(
    fc.property(written, fc.uniqueArray(name, { minLength: 1, maxLength: 3 }), ({ text, list }, more) => {
      const append = more.filter((item) => !list.includes(item));
      const result = editYamlList(text, 'list', { items: list, append });
      if (!result.ok) throw new Error(`${result.reason}\n${text}`);
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});

void test('any text at all: an edit or a refusal, never a throw', async (t) => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom(
          'a',
          ':',
          ' ',
          '\n',
          '-',
          '[',
          ']',
          '{',
          '}',
          '"',
          "'",
          '#',
          '&',
          '*',
          'list',
          '|',
          '>',
          '\t',
          ',',
        ),
      }),
      (text) => {
        editYamlList(text, 'list', { items: [], append: ['x'] });
      },
    ),
    { numRuns: 5_000 },
  );
  t.pass();
});

function isSubsequence(short: string, long: string): boolean {
  let at = 0;
  for (const character of long) if (short[at] === character) at++;
  return at === short.length;
}
