/** The loader on the real kernel: every object, its refusals, and pins. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ABI_VERSION } from '../../src/abi.gen.js';
import { BpfObject, readBpfObject } from '../../src/engine/bpf-object.js';
import { SpliceError, VerifierError } from '../../src/errors.js';
import { bpfExcused, root } from './support.js';

const excused = bpfExcused();
const names = readdirSync(`${root}/bpf`).flatMap((file) => /^(.+)\.bpf\.c$/.exec(file)?.[1] ?? []);

/** Sections of a little-endian ELF64 file: name, offset and size of the contents. */
function sections(object: Buffer): Map<string, { offset: number; size: number }> {
  const table = Number(object.readBigUInt64LE(0x28));
  const count = object.readUInt16LE(0x3c);
  const header = (index: number): number => table + index * 64;
  const strings = Number(object.readBigUInt64LE(header(object.readUInt16LE(0x3e)) + 24));
  const found = new Map<string, { offset: number; size: number }>();
  for (let i = 0; i < count; i++) {
    const name = strings + object.readUInt32LE(header(i));
    found.set(object.toString('latin1', name, object.indexOf(0, name)), {
      offset: Number(object.readBigUInt64LE(header(i) + 24)),
      size: Number(object.readBigUInt64LE(header(i) + 32)),
    });
  }
  return found;
}

function copyOf(name: string): Buffer {
  return Buffer.from(readBpfObject(name));
}

function errorOf(call: () => unknown): SpliceError {
  try {
    call();
  } catch (error) {
    if (error instanceof SpliceError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('without the kernel', () => {
  test('every program of bpf/ was built', () => {
    expect(names).toContain('sockmap');
    for (const name of names) expect(readBpfObject(name).length).toBeGreaterThan(0);
  });

  test('objects carry BTF and no DWARF', () => {
    for (const name of names) {
      const found = [...sections(copyOf(name)).keys()];
      expect(found).toContain('.BTF');
      expect(found.filter((section) => section.startsWith('.debug'))).toEqual([]);
    }
  });

  test('another ABI version is refused with both numbers, before anything is loaded', () => {
    const object = copyOf('sockmap');
    object.writeUInt32LE(ABI_VERSION + 41, sections(object).get('splice_abi')!.offset);
    const error = errorOf(() => BpfObject.open('sockmap', {}, object));
    expect(error.code).toBe('ERR_SPLICE_ABI');
    expect(error.message).toContain(String(ABI_VERSION));
    expect(error.message).toContain(String(ABI_VERSION + 41));
  });

  test('bytes that are no object of ours are refused as such', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('#!/bin/sh\n'), copyOf('sockmap').subarray(0, 1000)]) {
      expect(errorOf(() => BpfObject.open('sockmap', {}, bytes)).code).toBe('ERR_SPLICE_ABI');
    }
  });

  test('a size for a map that is not there is an error of the caller', () => {
    const error = errorOf(() => BpfObject.open('sockmap', { sizes: { nowhere: 5 } }));
    expect(error.code).toBe('ERR_SPLICE_ARGUMENT');
    expect(error.message).toContain('nowhere');
  });

  test('an object that is neither built nor shipped says what to run', () => {
    const error = errorOf(() => readBpfObject('nothing-of-this-name'));
    expect(error.code).toBe('ERR_SPLICE_ADDON');
    expect(error.message).toContain('npm run build');
  });
});

describe.skipIf(excused !== undefined)(`in the kernel${excused === undefined ? '' : ` (skipped: ${excused})`}`, () => {
  test.each(names)('%s loads, with a tag for each program', (name) => {
    const object = BpfObject.open(name);
    try {
      object.load();
      expect(object.programs.length).toBeGreaterThan(0);
      for (const program of object.programs) expect(program.tag).toMatch(/^[0-9a-f]{16}$/);
      expect(errorOf(() => object.load()).code).toBe('ERR_SPLICE_ARGUMENT');
    } finally {
      object.close();
    }
  });

  test('sizes reach the kernel', () => {
    const object = BpfObject.open('sockmap', { sizes: { halves: 3 } });
    try {
      object.load();
      expect(object.maps.find((map) => map.name === 'halves')).toMatchObject({
        type: 'hash',
        keySize: 8,
        maxEntries: 3,
      });
      const value = new Uint8Array(48);
      for (let i = 0; i < 3; i++) object.update('halves', Uint8Array.of(i, 0, 0, 0, 0, 0, 0, 0), value);
      expect(errorOf(() => object.update('halves', Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0), value)).code).toBe(
        'ERR_SPLICE_SYSTEM',
      );
      expect(object.native.keys('halves').length).toBe(3);
    } finally {
      object.close();
    }
  });

  test('what the verifier refuses keeps its whole log and the name of the program', () => {
    const object = copyOf('sockmap');
    const program = sections(object).get('sk_skb/stream_verdict')!;
    // The first instruction becomes r0 = *(u64 *)(r10 + 8): above the stack, where nothing is.
    Buffer.from([0x79, 0xa0, 8, 0, 0, 0, 0, 0]).copy(object, program.offset);
    const opened = BpfObject.open('sockmap', {}, object);
    try {
      const error = errorOf(() => opened.load());
      expect(error).toBeInstanceOf(VerifierError);
      expect((error as VerifierError).program).toBe('relay_verdict');
      expect((error as VerifierError).log).toContain('invalid read from stack');
      expect((error as VerifierError).log.trimEnd().split('\n').at(-1)).toMatch(/^processed \d+ insns/);
    } finally {
      opened.close();
    }
  });

  describe('pins', () => {
    const directory = mkdtempSync(join(tmpdir(), 'symsplice-bpffs-'));
    const clean = (): void => {
      spawnSync('umount', [directory]);
      rmSync(directory, { recursive: true, force: true });
    };
    beforeAll(() => {
      execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
      process.once('exit', clean);
    });
    afterAll(clean);

    test('outlive the object, are refused or reused as asked, and go away', () => {
      const pin = join(directory, 'flows');
      const key = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
      const first = BpfObject.open('sockmap', { pin });
      first.load();
      first.update('copied', key, Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0));
      first.close();
      expect(readdirSync(pin).sort()).toEqual(['copied', 'counters', 'halves', 'peers']);

      const refused = BpfObject.open('sockmap', { pin });
      const error = errorOf(() => refused.load());
      expect(error.code).toBe('ERR_SPLICE_SYSTEM');
      expect(error.message).toContain('exists already');
      refused.close();

      const second = BpfObject.open('sockmap', { pin, reuse: true });
      second.load();
      expect(second.lookup('copied', key)?.[0]).toBe(9);
      second.unpin();
      second.close();
      expect(readdirSync(pin)).toEqual([]);
    });

    test('a pinned map of another shape is not taken over', () => {
      const pin = join(directory, 'shape');
      const first = BpfObject.open('sockmap', { pin, sizes: { halves: 7 } });
      first.load();
      const other = BpfObject.open('sockmap', { pin, reuse: true, sizes: { halves: 8 } });
      expect(errorOf(() => other.load()).code).toBe('ERR_SPLICE_SYSTEM');
      other.close();
      first.unpin();
      first.close();
    });

    test('only on a BPF file system', () => {
      const elsewhere = mkdtempSync(join(tmpdir(), 'symsplice-plain-'));
      writeFileSync(join(elsewhere, 'file'), '');
      const object = BpfObject.open('sockmap', { pin: elsewhere });
      try {
        expect(errorOf(() => object.load()).message).toContain('mount -t bpf');
      } finally {
        object.close();
        rmSync(elsewhere, { recursive: true });
      }
    });
  });
});
