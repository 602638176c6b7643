/** A sysctl's fields as numbers; undefined when one is none. BigInt: kernel.shmmax exceeds 2^53. */
export function numbersOf(value: string): readonly bigint[] | undefined {
  const fields = oneBlank(value).split(' ');
  // No 64-bit number is longer; of more digits only the time would count that it takes to read them.
  return fields.every((field) => /^-?[0-9]{1,20}$/.test(field)) ? fields.map(BigInt) : undefined;
}

/** A value in the spelling in which values compare: no blanks around, one blank between fields. */
export function oneBlank(value: string): string {
  return value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '');
}

/**
 * The weakest bound that satisfies both, field by field; undefined when they have different fields. Of a bound and a
 * value: the value nearest to it within the bound.
 */
export function tighter(kind: 'atLeast' | 'atMost', one: string, other: string): string | undefined {
  const left = numbersOf(one);
  const right = numbersOf(other);
  if (left === undefined || right === undefined || left.length !== right.length) return undefined;
  return left
    .map((field, index) => {
      const against = right[index] ?? field;
      return kind === 'atLeast' ? (field > against ? field : against) : field < against ? field : against;
    })
    .join(' ');
}

/** Whether a value lies within a bound in every field; undefined when they have different fields. */
export function within(kind: 'atLeast' | 'atMost', bound: string, value: string): boolean | undefined {
  const limits = numbersOf(bound);
  const fields = numbersOf(value);
  if (limits === undefined || fields === undefined || limits.length !== fields.length) return undefined;
  return fields.every((field, index) => {
    const limit = limits[index] ?? field;
    return kind === 'atLeast' ? field >= limit : field <= limit;
  });
}
