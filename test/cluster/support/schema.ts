import { isRecord } from './patches.ts';

/** Where a value breaks a structural schema: types, bounds, required and unknown members. */
export function mismatches(
  schema: Readonly<Record<string, unknown>>,
  value: unknown,
  path = '',
): readonly string[] {
  const { type, properties, items, required, maxLength, maxItems, enum: allowed, format, minimum } = schema;
  switch (type) {
    case 'string':
      if (typeof value !== 'string') return [`${path} is no string`];
      if (typeof maxLength === 'number' && value.length > maxLength) return [`${path} is too long`];
      if (Array.isArray(allowed) && !allowed.includes(value)) return [`${path} is not in the list`];
      if (format === 'date-time' && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value))
        return [`${path} is no time`];
      return [];
    case 'integer':
      if (!Number.isSafeInteger(value)) return [`${path} is no integer`];
      return typeof minimum === 'number' && Number(value) < minimum ? [`${path} is too small`] : [];
    case 'array':
      if (!Array.isArray(value)) return [`${path} is no list`];
      if (typeof maxItems === 'number' && value.length > maxItems) return [`${path} has too many items`];
      return value.flatMap((each, at) => mismatches(isRecord(items) ? items : {}, each, `${path}[${at}]`));
    case 'object': {
      if (!isRecord(value)) return [`${path} is no object`];
      const known = isRecord(properties) ? properties : {};
      const missing = (Array.isArray(required) ? required : []).filter((key) => !(String(key) in value));
      return [
        ...missing.map((key) => `${path}.${String(key)} is missing`),
        ...Object.entries(value).flatMap(([key, each]) => {
          const inner = known[key];
          return isRecord(inner) ? mismatches(inner, each, `${path}.${key}`) : [`${path}.${key} is unknown`];
        }),
      ];
    }
    default:
      return [`${path} has a schema without a type`];
  }
}
