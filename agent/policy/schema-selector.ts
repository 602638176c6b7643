import * as z from 'zod';
import { labelKeyPattern, labelValuePattern, selectorOperators } from './vocabulary.ts';

const labelKey = z
  .string()
  .max(317, { abort: true })
  .regex(labelKeyPattern, 'is not a label key, such as pool or example.com/pool');
const labelValue = z
  .string()
  .max(63, { abort: true })
  .regex(labelValuePattern, 'is not a label value: letters, digits, "-", "_" and ".", 63 at most');

const requirement = z
  .strictObject({
    key: labelKey.meta({ description: 'Label key.' }),
    operator: z.enum(selectorOperators).meta({ description: 'How the label is compared.' }),
    values: z.array(labelValue).max(1000).optional().meta({
      description: 'Values for In and NotIn; absent for Exists and DoesNotExist.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .refine(
    ({ operator, values = [] }) =>
      operator === 'In' || operator === 'NotIn' ? values.length > 0 : values.length === 0,
    'needs values for In and NotIn, and none for Exists and DoesNotExist',
  )
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
        message: 'needs values for In and NotIn, and none for Exists and DoesNotExist',
      },
    ],
  });

// The API server prunes keys that it does not know: what is left of a Pod's nodeSelector would select every node.
const emptySelector = 'needs matchLabels or matchExpressions; leave nodeSelector out to mean every node';

/** `spec.nodeSelector`, as the API server selects by labels. `x-kubernetes-*` in meta() goes to the CRD as it is. */
export const nodeSelectorSchema = z
  .strictObject({
    matchLabels: z.record(labelKey, labelValue).optional().meta({
      description: 'Labels that the node must carry, each with exactly this value.',
      maxProperties: 100,
    }),
    matchExpressions: z.array(requirement).max(100).optional().meta({
      description: 'Requirements on the labels of the node; all must hold.',
      'x-kubernetes-list-type': 'atomic',
    }),
  })
  .refine((selector) => Object.keys(selector).length > 0, {
    error: emptySelector,
    // An unknown key has been named already.
    when: ({ issues }) => issues.length === 0,
  })
  .meta({
    'x-kubernetes-validations': [
      { rule: 'has(self.matchLabels) || has(self.matchExpressions)', message: emptySelector },
    ],
  });
