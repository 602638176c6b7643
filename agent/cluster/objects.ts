/** The part of every Kubernetes object that the agent reads. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The metadata of an object as the API server serves it; undefined for what is no object of its. Never throws. */
export function metaOf(value: unknown): ObjectMeta | undefined {
  const meta = field(value, 'metadata');
  const name = text(meta, 'name');
  const resourceVersion = text(meta, 'resourceVersion');
  if (name === undefined || resourceVersion === undefined) return undefined;
  const generation = field(meta, 'generation');
  return {
    name,
    namespace: text(meta, 'namespace'),
    uid: text(meta, 'uid') ?? '',
    resourceVersion,
    generation: typeof generation === 'number' ? generation : undefined,
    labels: texts(field(meta, 'labels')),
    annotations: texts(field(meta, 'annotations')),
  };
}

/** A member of a value that may be no object at all. */
export function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  const found: unknown = Reflect.get(value, key);
  return found;
}

/** A member that is a text. */
export function text(value: unknown, key: string): string | undefined {
  const found = field(value, key);
  return typeof found === 'string' ? found : undefined;
}

/** The members of a list, none where it is no list. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A map of texts; what is no text is left out. */
export function texts(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (typeof item === 'string' ? [[key, item]] : [])),
  );
}
