/** A plan that failed, so that it is not tried again until something changes. */
export interface Latch {
  readonly planHash: string;
  readonly code: string;
  readonly message: string;
  readonly sinceMs: number;
  readonly transaction: string;
}

/** Undefined unless the text is a whole latch: without one the change is tried once more, and latched again. */
export function decodeLatch(text: string | undefined): Latch | undefined {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    if (typeof value !== 'object' || value === null) return undefined;
    const texts = ['planHash', 'code', 'message', 'transaction'].map((key): unknown =>
      Reflect.get(value, key),
    );
    const sinceMs: unknown = Reflect.get(value, 'sinceMs');
    if (!texts.every((found) => typeof found === 'string')) return undefined;
    return typeof sinceMs === 'number' && Math.abs(sinceMs) <= 8.64e15 ? (value as Latch) : undefined;
  } catch {
    return undefined;
  }
}
