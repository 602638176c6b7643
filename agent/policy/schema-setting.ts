import type * as z from 'zod';

/**
 * A setting that a document may leave out. `byDefault` feeds the table in docs/policy.md and the CRD's descriptions.
 * zod's default() is not used: the API server would store it, and a stated setting could no longer be told from an
 * unstated one when policies are merged.
 */
export function setting<T extends z.ZodType>(schema: T, byDefault: string | number, description: string) {
  return schema.optional().meta({ description, byDefault });
}
