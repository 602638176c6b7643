// What comes off the bus is of unknown type; each of these makes one type of it and never throws.

/** One text for one value, whatever its type; 64-bit numbers keep all digits. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner));
}

/** An array, or none at all: a property that this systemd lacks reads as empty. */
export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A text; empty for anything else. */
export function asString(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The texts of an array. */
export function asStrings(value: unknown): readonly string[] {
  return asArray(value).filter((item) => typeof item === 'string');
}

/** A number; 0 for anything else. */
export function asNumber(value: unknown): number {
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0;
}

/** systemd's µs; "infinity" is 2^64-1 and stays huge. */
export function asMilliseconds(value: unknown): number {
  return typeof value === 'bigint' ? Number(value / 1000n) : asNumber(value) / 1000;
}

/** Bytes as systemd prints ids. */
export function asHex(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('hex') : '';
}
