import * as z from 'zod';
import { normaliseName } from '../sysctl/names.ts';
import { setting } from './schema-setting.ts';
import {
  expectationKinds,
  policyDefaults,
  policyLimits,
  remediations,
  sysctlNamePattern,
} from './vocabulary.ts';

// One page is the most that the kernel takes in one write; it appends its own NUL.
const sysctlValue = z
  .string()
  .max(4095, { abort: true })
  // oxlint-disable-next-line no-control-regex
  .regex(/^[^\x00-\x08\x0A-\x1F\x7F]*$/, 'must be one line without control characters');
const sysctlBound = z
  .string()
  .max(253, { abort: true })
  .regex(
    /^-?[0-9]{1,20}([ \t]+-?[0-9]{1,20})*$/,
    'must be a whole number, or several with blanks between, to be compared',
  );

const sysctl = z
  .strictObject({
    name: z
      .string()
      .max(253, { abort: true })
      .regex(sysctlNamePattern, 'is not the name of one sysctl, such as vm.max_map_count')
      .meta({ description: 'The sysctl, in dot or slash spelling. No "*".' }),
    value: sysctlValue
      .optional()
      .meta({ description: 'The exact value. Blanks and tabs compare as one blank.' }),
    atLeast: sysctlBound
      .optional()
      .meta({ description: 'The smallest value that is no drift; of several fields each.' }),
    atMost: sysctlBound
      .optional()
      .meta({ description: 'The largest value that is no drift; of several fields each.' }),
    remediation: setting(
      z.enum(remediations),
      policyDefaults.remediation,
      'Report: drift is a metric. Write: the agent also sets the value.',
    ),
  })
  .refine((item) => expectationKinds.filter((kind) => item[kind] !== undefined).length === 1, {
    error: 'needs exactly one of value, atLeast and atMost',
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '[has(self.value), has(self.atLeast), has(self.atMost)].exists_one(stated, stated)',
        message: 'needs exactly one of value, atLeast and atMost',
      },
    ],
  });

/** `spec.sysctls`: the expected values on the node. */
export const sysctlsSchema = z
  .array(sysctl)
  .max(policyLimits.sysctls)
  .superRefine(
    (value, context) => {
      const seen = new Map<string, string>();
      for (const [index, item] of value.entries()) {
        const name: unknown = item?.name;
        if (typeof name !== 'string' || !sysctlNamePattern.test(name)) continue;
        const first = seen.get(normaliseName(name));
        if (first === undefined) seen.set(normaliseName(name), name);
        else {
          const message = `is the same sysctl as ${first} before it; state it once`;
          context.addIssue({ code: 'custom', path: [index, 'name'], message });
        }
      }
    },
    // Also while one item is wrong in another way: all problems are reported at once.
    { when: ({ value }) => Array.isArray(value) },
  );
