import { closeSync, constants, openSync } from 'node:fs';
import { classify, readOpenSysctl, readSysctlFile, sysctlBuffer, type SysctlReading } from './proc-sys.ts';

/** Reads the same sysctls again and again: synchronous, on descriptors that stay open. */
export interface SysctlReader {
  readonly length: number;
  /** The reading of the name at this index; the same object as before while the value is the same. */
  read(index: number): SysctlReading;
  close(): void;
}

// A policy's own limit. Node raises its soft limit of descriptors to the hard one (4096 at the least) when it starts.
const maxKeptDescriptors = 1024;

/** A reader of files below /proc/sys; undefined stands for a sysctl that cannot be reached from our namespaces. */
export function openSysctlReader(files: readonly (string | undefined)[]): SysctlReader {
  const buffer = sysctlBuffer();
  const entries = files.map((file, index) => new KeptSysctl(file, index < maxKeptDescriptors, buffer));
  return {
    length: files.length,
    read: (index) => entries[index]?.read() ?? unreachableSysctl,
    close: () => {
      for (const entry of entries) entry.close();
    },
  };
}

const unreachableSysctl: SysctlReading = { kind: 'unreadable', reason: 'wrongNamespace' };

class KeptSysctl {
  readonly #file: string | undefined;
  readonly #keep: boolean;
  readonly #buffer: Buffer;
  #fd: number | undefined;
  #bytes: Buffer | undefined;
  #reading: SysctlReading = unreachableSysctl;

  constructor(file: string | undefined, keep: boolean, buffer: Buffer) {
    this.#file = file;
    this.#keep = keep;
    this.#buffer = buffer;
  }

  read(): SysctlReading {
    if (this.#file === undefined) return unreachableSysctl;
    if (!this.#keep) return this.#remember(classify(readSysctlFile(this.#file)));
    try {
      return this.#readKept();
    } catch {
      // A descriptor of a network device that went away says ENOENT for ever, also when the device is back. Every
      // other error is looked at afresh as well, and the next reading opens again.
      this.close();
      return this.#remember(classify(readSysctlFile(this.#file)));
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#bytes = undefined;
  }

  #readKept(): SysctlReading {
    this.#fd ??= openSync(this.#file ?? '', constants.O_RDONLY);
    const bytes = readOpenSysctl(this.#fd, this.#buffer);
    if (bytes === undefined) return this.#remember(classify({ tooLong: true }));
    if (this.#bytes?.equals(bytes) === true) return this.#reading;
    this.#bytes = Buffer.from(bytes);
    this.#reading = classify({ text: bytes.toString('utf8') });
    return this.#reading;
  }

  #remember(reading: SysctlReading): SysctlReading {
    this.#bytes = undefined;
    if (JSON.stringify(reading) !== JSON.stringify(this.#reading)) this.#reading = reading;
    return this.#reading;
  }
}
