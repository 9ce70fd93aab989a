/**
 * BPF objects: found beside the addon, opened, loaded and attached through libbpf
 * (addon/bpf_object.cc), with failures as typed errors. No policy: backends decide what to load.
 */
import { readFileSync } from 'node:fs';
import { SpliceArgumentError, SpliceError, VerifierError } from '../errors.js';
import { builtFile, native, type Native } from '../native.js';

export interface BpfProgramInfo {
  name: string;
  /** ELF section, which names the hook: `sk_skb/stream_verdict`. */
  section: string;
  type: string;
  /** The kernel's hash of the program as loaded; '' before load(). */
  tag: string;
}

export interface BpfMapInfo {
  name: string;
  type: string;
  keySize: number;
  /** Bytes of one value; per-CPU maps hold one for each possible CPU. */
  valueSize: number;
  maxEntries: number;
  /** Path of the pin, '' when it has none. */
  pin: string;
}

export interface BpfObjectOptions {
  /** max_entries by map, in place of what the source says. */
  sizes?: Record<string, number>;
  /** Directory on a bpffs in which maps are pinned; made when missing. Default: nothing is pinned. */
  pin?: string;
  /** Take over maps found in `pin` instead of failing with EEXIST. Default: false. */
  reuse?: boolean;
}

/** What a packet of a test run has beside its bytes. */
export interface BpfTestSettings {
  mark?: number;
  /** The device whose hook it passes. Default: loopback. */
  ifindex?: number;
  /** The device that it came in by. */
  ingressIfindex?: number;
  gsoSize?: number;
  gsoSegments?: number;
  /** Path of the network namespace to run in. Default: the process' own. */
  network?: string;
}

/** What a test run left of the packet. */
export interface BpfTestOutcome {
  result: number;
  packet: Uint8Array;
  mark: number;
  gsoSize: number;
}

/** The addon's class: see addon/bpf_loader.cc. Failures are {@link NativeBpfError}s. */
export interface NativeBpfObject {
  load(): void;
  attach(program: string, map: string): void;
  unpin(): void;
  close(): void;
  programs(): BpfProgramInfo[];
  maps(): BpfMapInfo[];
  lookup(map: string, key: Uint8Array): Uint8Array | undefined;
  update(map: string, key: Uint8Array, value: Uint8Array): void;
  delete(map: string, key: Uint8Array): boolean;
  keys(map: string): Uint8Array[];
  counters(map: string): number[];
  testRun(program: string, packet: Uint8Array, settings: BpfTestSettings): BpfTestOutcome;
}

interface BpfNative {
  BpfObject: new (bytes: Uint8Array, options: BpfObjectOptions & { name: string }) => NativeBpfObject;
}

interface NativeBpfError extends Error {
  code: string;
  program: string;
  log: string;
}

function isNativeBpfError(error: unknown): error is NativeBpfError {
  return error instanceof Error && 'code' in error && 'log' in error && 'program' in error;
}

/** Runs one call of the addon; its plain errors become those of src/errors.ts, which keep them as `cause`. */
export function translate<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!isNativeBpfError(error)) throw error;
    switch (error.code) {
      case 'ERR_SPLICE_VERIFIER':
        throw new VerifierError(error.program, error.log, { cause: error });
      case 'ERR_SPLICE_ARGUMENT':
        throw new SpliceArgumentError(error.message, { cause: error });
      case 'ERR_SPLICE_ABI':
        throw new SpliceError('ERR_SPLICE_ABI', error.message, { cause: error });
      default: {
        const said = error.log.trim();
        throw new SpliceError('ERR_SPLICE_SYSTEM', said === '' ? error.message : `${error.message}\n${said}`, {
          cause: error,
        });
      }
    }
  }
}

/** The bytes of `<name>.bpf.o`, built here or shipped in the package. Throws `ERR_SPLICE_ADDON`. */
export function readBpfObject(name: string): Uint8Array {
  const files = builtFile(`bpf/${name}.bpf.o`, `${name}.bpf.o`);
  let cause: unknown;
  for (const file of files) {
    try {
      return readFileSync(file);
    } catch (error) {
      cause = error;
    }
  }
  throw new SpliceError(
    'ERR_SPLICE_ADDON',
    `BPF object "${name}" is neither built nor shipped; in a checkout run "npm run build", else "npm rebuild symsplice" (both need clang)\n  ${files.join('\n  ')}`,
    { cause },
  );
}

/** One BPF object. Everything it loaded is gone after close(), but what is pinned. */
export class BpfObject {
  readonly name: string;
  /** The addon's own object, for its other classes. */
  readonly native: NativeBpfObject;

  private constructor(name: string, object: NativeBpfObject) {
    this.name = name;
    this.native = object;
  }

  /**
   * Reads and parses an object; the kernel is not asked yet.
   * @param bytes the object file; default: the one of that name that belongs to this package
   */
  static open(name: string, options: BpfObjectOptions = {}, bytes: Uint8Array = readBpfObject(name)): BpfObject {
    const addon = native() as Native & BpfNative;
    return new BpfObject(
      name,
      translate(() => new addon.BpfObject(bytes, { name, ...options })),
    );
  }

  /** Creates the maps and loads the programs. Throws {@link VerifierError}, or `ERR_SPLICE_SYSTEM` (EPERM: privilege). */
  load(): void {
    translate(() => this.native.load());
  }

  /** Attaches an sk_skb program to a sockmap or sockhash; before the first socket is inserted. */
  attach(program: string, map: string): void {
    translate(() => this.native.attach(program, map));
  }

  /** Removes the pins of this object's maps. */
  unpin(): void {
    translate(() => this.native.unpin());
  }

  close(): void {
    this.native.close();
  }

  get programs(): BpfProgramInfo[] {
    return translate(() => this.native.programs());
  }

  get maps(): BpfMapInfo[] {
    return translate(() => this.native.maps());
  }

  /** The slots of a per-CPU array of 64-bit counters, each summed over the CPUs. */
  counters(map: string): number[] {
    return translate(() => this.native.counters(map));
  }

  lookup(map: string, key: Uint8Array): Uint8Array | undefined {
    return translate(() => this.native.lookup(map, key));
  }

  update(map: string, key: Uint8Array, value: Uint8Array): void {
    translate(() => this.native.update(map, key, value));
  }

  /** Whether there was an entry to delete. */
  delete(map: string, key: Uint8Array): boolean {
    return translate(() => this.native.delete(map, key));
  }

  /** All keys; a map that changes meanwhile may show one twice or not at all. */
  keys(map: string): Uint8Array[] {
    return translate(() => this.native.keys(map));
  }

  /** Runs a program once on a packet, from its Ethernet header on. What the program does elsewhere, it really does. */
  testRun(program: string, packet: Uint8Array, settings: BpfTestSettings = {}): BpfTestOutcome {
    return translate(() => this.native.testRun(program, packet, settings));
  }
}
