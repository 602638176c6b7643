import { randomUUID } from 'node:crypto';
import { isRecord } from './patches.ts';

/** An object of the API as JSON. */
export interface Stored extends Record<string, unknown> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Meta;
}

export interface Meta extends Record<string, unknown> {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly labels?: Record<string, string>;
  readonly ownerReferences?: readonly { readonly uid: string }[];
}

export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly collection: string;
  readonly version: number;
  readonly object: Stored;
  /** As it was before; a selector may have held then. */
  readonly before: Stored | undefined;
}

/** Everything that the stand-in API server knows: objects, versions and the changes since the last compaction. */
export class Store {
  #version = 100;
  #compactedTo = 100;
  #changes: Change[] = [];
  readonly #objects = new Map<string, Map<string, Stored>>();
  readonly #listeners = new Set<(change: Change) => void>();

  get version(): number {
    return this.#version;
  }

  list(collection: string): readonly Stored[] {
    return [...(this.#objects.get(collection)?.values() ?? [])];
  }

  get(collection: string, key: string): Stored | undefined {
    return this.#objects.get(collection)?.get(key);
  }

  put(collection: string, key: string, value: Record<string, unknown>): Stored {
    const before = this.get(collection, key);
    const meta = isRecord(value['metadata']) ? value['metadata'] : {};
    this.#version += 1;
    const generation =
      before === undefined ? 1 : (before.metadata.generation ?? 1) + (sameSpec(before, value) ? 0 : 1);
    const object: Stored = {
      ...value,
      apiVersion: String(value['apiVersion']),
      kind: String(value['kind']),
      metadata: {
        ...meta,
        name: String(meta['name']),
        uid: before?.metadata.uid ?? randomUUID(),
        creationTimestamp: before?.metadata['creationTimestamp'] ?? new Date().toISOString(),
        generation,
        resourceVersion: String(this.#version),
      },
    };
    const objects = this.#objects.get(collection) ?? new Map<string, Stored>();
    this.#objects.set(collection, objects.set(key, object));
    this.#tell({
      type: before === undefined ? 'ADDED' : 'MODIFIED',
      collection,
      version: this.#version,
      object,
      before,
    });
    return object;
  }

  delete(collection: string, key: string): void {
    const before = this.get(collection, key);
    if (before === undefined) return;
    this.#objects.get(collection)?.delete(key);
    this.#version += 1;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: String(this.#version) } };
    this.#tell({ type: 'DELETED', collection, version: this.#version, object, before });
    this.#collect(before.metadata.uid);
  }

  /** Changes after a version; undefined when it was forgotten. */
  since(version: number): readonly Change[] | undefined {
    return version < this.#compactedTo
      ? undefined
      : this.#changes.filter((change) => change.version > version);
  }

  compact(): void {
    this.#version += 1;
    this.#compactedTo = this.#version;
    this.#changes = [];
  }

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(change: Change): void {
    this.#changes.push(change);
    for (const listener of this.#listeners) listener(change);
  }

  // The garbage collector of the controller manager: what belongs to an object that is gone goes too.
  #collect(owner: string): void {
    for (const [collection, objects] of this.#objects) {
      for (const [key, object] of objects) {
        const owners = object.metadata.ownerReferences ?? [];
        if (owners.length > 0 && owners.every(({ uid }) => uid === owner)) this.delete(collection, key);
      }
    }
  }
}

function sameSpec(before: Stored, after: Record<string, unknown>): boolean {
  return JSON.stringify(before['spec']) === JSON.stringify(after['spec']);
}
