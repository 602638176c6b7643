import * as z from 'zod';
import { policySchema } from './schema.ts';

/** One node of the policy's JSON Schema, as far as the policy uses JSON Schema. */
export interface SchemaNode {
  readonly type?: 'object' | 'array' | 'string' | 'integer';
  readonly description?: string;
  /** What an absent value means; never the schema's own `default`. */
  readonly byDefault?: string | number;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false | SchemaNode;
  readonly items?: SchemaNode;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly pattern?: string;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
}

/** The JSON Schema of the document as it is written, straight from the zod schema. */
export function policyJsonSchema(): SchemaNode {
  return z.toJSONSchema(policySchema, { target: 'draft-7', io: 'input' }) as SchemaNode;
}
