import type { FileWatch, WatchTarget } from '../host/file-watch.ts';
import type { UnitWatch } from '../host/unit-watch.ts';
import type { LoopPorts } from './loop-ports.ts';

/** Everything that tells the loop of changes: files of the node, files of the policy, and systemd about the unit. */
export class LoopWatches {
  private readonly ports: Pick<LoopPorts, 'watchFiles' | 'watchUnit' | 'publish'>;
  private readonly noticed: () => void;
  private readonly files: FileWatch;
  private readonly policyFiles: FileWatch;
  private unit: { readonly name: string; readonly watch: UnitWatch } | undefined;
  private allWatched = false;

  constructor(ports: LoopWatches['ports'], told: { readonly node: () => void; readonly policy: () => void }) {
    this.ports = ports;
    this.noticed = told.node;
    this.files = ports.watchFiles(told.node);
    this.policyFiles = ports.watchFiles(told.policy);
  }

  async followPolicies(paths: readonly string[]): Promise<void> {
    await this.policyFiles.update(paths.map((path) => ({ path, kind: 'directory', root: '/' })));
  }

  /** @throws BusError where systemd does not take the subscription. */
  async followUnit(name: string): Promise<void> {
    if (this.unit?.name === name) return;
    await this.unit?.watch.close().catch(() => undefined);
    this.unit = undefined;
    this.unit = { name, watch: await this.ports.watchUnit(name, this.noticed) };
  }

  /** True when a directory was not watched a moment ago: what changed there since it was read told nobody. */
  async followFiles(targets: readonly WatchTarget[]): Promise<boolean> {
    const { unwatched, added } = await this.files.update(targets);
    this.allWatched = unwatched === 0;
    this.show();
    return added > 0;
  }

  /** Compares the files themselves, for what inotify did not tell. */
  changes(): { readonly node: boolean; readonly policy: boolean } {
    return { node: this.files.changed(), policy: this.policyFiles.changed() };
  }

  show(): void {
    this.ports.publish.watches(this.allWatched, this.unit?.watch.up === true);
  }

  async close(): Promise<void> {
    this.files.close();
    this.policyFiles.close();
    await this.unit?.watch.close().catch(() => undefined);
  }
}
