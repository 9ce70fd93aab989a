/** A wire in the clear on real sockets: what was sent arrives byte for byte, what is paused waits, who is gone is gone. */
import { once } from 'node:events';
import { readSync } from 'node:fs';
import net from 'node:net';
import { constants } from 'node:os';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { native } from '../../../src/native.js';
import type { Wire } from '../../../src/proxy/wire.js';
import {
  bytesOf,
  descriptors,
  fateOf,
  readAll,
  readBytes,
  resetArrives,
  settled,
  until,
} from '../../support/flow-bed.js';
import { WireBed, type Near } from './wire-bed.js';

const { ECONNRESET, EPIPE } = constants.errno;
const MIB = 1024 * 1024;

let bed: WireBed;
let before: ReturnType<typeof descriptors>;

beforeEach(async () => {
  await settled(() => descriptors().all, 30);
  before = descriptors();
  bed = new WireBed();
});

afterEach(async () => {
  bed.close();
  await until('every descriptor is closed', () => descriptors().all <= before.all);
});

/** Several wires whose far ends have written, so that one batch brings all of it. */
async function together(count: number, bytes: (index: number) => Buffer | undefined): Promise<Near[]> {
  const nears: Near[] = [];
  for (let index = 0; index < count; index++) nears.push(await bed.open());
  nears.forEach(({ far }, index) => {
    const first = bytes(index);
    if (first === undefined) far.end();
    else far.write(first);
  });
  return nears;
}

/** Waits, without a turn of the reactor, until the kernel has given the connection up. */
function broken(wire: Wire): void {
  const deadline = performance.now() + 5000;
  while (native().connectedStream(wire.descriptor!) === '') {
    if (performance.now() > deadline) throw new Error('no reset has come');
  }
}

describe('sending', () => {
  test('two parts go out in one piece', async () => {
    const { wire, heard, far } = await bed.open();
    heard.call(() => wire.send(Buffer.from('head '), Buffer.from('body')));
    expect(wire.unsent).toBe(0);
    expect((await readBytes(far, 9)).toString()).toBe('head body');
    expect(heard.events).toEqual([]);
  });

  test('what an owner sends while it is called is with the kernel at once, in order', async () => {
    const { wire, heard, far } = await bed.open();
    heard.on = () => {
      for (const word of ['a', 'b', 'c']) wire.send(Buffer.from(word), Buffer.from(' '));
      expect(wire.unsent).toBe(0);
      wire.send(Buffer.from('last'));
      wire.close(false);
    };
    far.write('go');
    expect((await readAll(far)).toString()).toBe('a b c last');
  });

  test('what the kernel does not take waits, in order, until a slow reader has read it', async () => {
    const { wire, heard, far } = await bed.open();
    const parts = [3 * MIB, 10, 5 * MIB, 1, 2 * MIB, 70_000, 0, 4 * MIB].map(bytesOf);
    heard.call(() => {
      wire.send(parts[0]!, parts[1]);
      wire.send(parts[2]!);
      wire.send(parts[3]!, parts[4]);
      wire.send(parts[5]!, parts[6]);
      wire.send(parts[7]!);
    });
    const all = Buffer.concat(parts);
    expect(wire.unsent).toBeGreaterThan(MIB);
    expect((await readBytes(far, all.length)).equals(all)).toBe(true);
    await until('drained', () => heard.events.length > 0);
    expect(heard.events).toEqual(['drained']);
    expect(wire.unsent).toBe(0);
  });

  test('thousands of small pieces behind a full kernel', async () => {
    const { wire, heard, far } = await bed.open();
    const parts = [bytesOf(6 * MIB), ...Array.from({ length: 3000 }, (_, index) => bytesOf(index % 700))];
    for (const part of parts) wire.send(part);
    const all = Buffer.concat(parts);
    expect((await readBytes(far, all.length)).equals(all)).toBe(true);
    await until('drained', () => heard.events.length > 0);
    expect(heard.events).toEqual(['drained']);
  });

  test('an owner that sends again whenever it is drained hears of each time', async () => {
    const { wire, heard, far } = await bed.open();
    const piece = bytesOf(8 * MIB);
    let times = 1;
    heard.on = () => {
      if (times < 4) {
        times++;
        wire.send(piece);
      }
    };
    wire.send(piece);
    const all = await readBytes(far, 4 * piece.length);
    expect(all.equals(Buffer.concat([piece, piece, piece, piece]))).toBe(true);
    await until('drained for the last time', () => wire.unsent === 0 && heard.events.length === 4);
    expect(heard.events).toEqual(['drained', 'drained', 'drained', 'drained']);
  });
});

describe('reading', () => {
  test('bytes, then the FIN; the other direction lives on', async () => {
    const { wire, heard, far } = await bed.open();
    far.end(bytesOf(100_000));
    await until('the end', () => heard.words.length > 0);
    expect(heard.received.length).toBe(100_000);
    expect(heard.words).toEqual(['end']);
    expect(wire.ended).toBe(true);
    wire.send(Buffer.from('answer'));
    wire.finish();
    expect((await readAll(far)).toString()).toBe('answer');
  });

  test('paused, bytes and FIN wait; resumed, all of it comes once', async () => {
    const { wire, heard, far } = await bed.open();
    wire.pause();
    wire.pause();
    const sent = bytesOf(200_000);
    far.end(sent);
    await settled(() => heard.events.length, 50);
    expect(heard.events).toEqual([]);
    heard.call(() => wire.resume());
    heard.call(() => wire.resume());
    await until('the end', () => heard.words.length > 0);
    expect(heard.received.equals(sent)).toBe(true);
    expect(heard.words).toEqual(['end']);
    // What was told is not told again.
    wire.pause();
    wire.resume();
    expect(await settled(() => heard.words.length, 50)).toBe(1);
  });

  test('paused between two reads, the rest stays in the kernel', async () => {
    const { wire, heard, far } = await bed.open();
    const sent = bytesOf(60_000);
    heard.on = () => wire.pause();
    far.end(sent);
    await until('the first read', () => heard.events.length === 1);
    expect(await settled(() => heard.events.length, 50)).toBe(1);
    while (!heard.words.includes('end')) {
      const count = heard.events.length;
      wire.resume();
      await until('the next', () => heard.events.length > count);
    }
    expect(heard.received.equals(sent)).toBe(true);
  });

  test('any cut, paused and resumed at any time: the stream is the stream', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length: fc.integer({ min: 1, max: 40_000 }), rest: fc.boolean() }), {
          minLength: 1,
          maxLength: 12,
        }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
        async (pieces, pauses) => {
          const { wire, heard, far } = await bed.open();
          let turn = 0;
          heard.on = (event) => {
            if (event !== 'data' || pauses[turn++ % pauses.length] !== true) return;
            wire.pause();
            setImmediate(() => wire.resume());
          };
          const parts = pieces.map(({ length }) => bytesOf(length));
          for (const [index, part] of parts.entries()) {
            far.write(part);
            if (pieces[index]!.rest) await new Promise((resolve) => setImmediate(resolve));
          }
          far.end();
          await until('the end', () => heard.words.length > 0);
          expect(heard.received.equals(Buffer.concat(parts))).toBe(true);
          expect(heard.words).toEqual(['end']);
          wire.close(false);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('quiet() sees what nobody has told yet', async () => {
    const { wire, heard, far } = await bed.open();
    expect(wire.quiet()).toBe(true);
    wire.pause();
    far.write('x');
    await until('something is there', () => !wire.quiet());
    expect(heard.events).toEqual([]);
    wire.resume();
    await until('it is read', () => heard.events.length === 1);
    expect(wire.quiet()).toBe(true);
    far.end();
    await until('FIN', () => wire.ended);
    expect(wire.quiet()).toBe(false);
  });

  test('quiet() knows that more waits behind a full read, and behind a pause that has just ended', async () => {
    const { wire, heard, far } = await bed.open();
    const quiet: boolean[] = [];
    heard.on = () => void quiet.push(wire.quiet());
    far.write(bytesOf(bed.host.readSize + 5));
    await until('all is heard', () => heard.received.length === bed.host.readSize + 5);
    expect(quiet).toEqual([false, true]);
    wire.pause();
    far.write('x');
    await until('something is there', () => !wire.quiet());
    wire.resume();
    expect(wire.quiet()).toBe(false);
  });
});

describe('paused by somebody else, in the batch that has its bytes already', () => {
  const texts = ['zero', 'one', 'two', 'three'];

  /** The first that is heard pauses all others; returns them. */
  async function pausedOthers(
    bytes: (index: number) => Buffer | undefined,
    then: (other: Near) => void,
  ): Promise<Near[]> {
    const nears = await together(4, bytes);
    return new Promise((resolve) => {
      let first = true;
      for (const near of nears) {
        near.heard.on = () => {
          if (!first) return;
          first = false;
          const others = nears.filter((other) => other !== near);
          for (const other of others) {
            other.wire.pause();
            then(other);
          }
          resolve(others);
        };
      }
    });
  }

  test('the bytes come when it is resumed, once, before what comes later', async () => {
    const others = await pausedOthers(
      (index) => Buffer.from(texts[index]!),
      () => undefined,
    );
    await settled(() => others.reduce((sum, { heard }) => sum + heard.events.length, 0), 30);
    for (const { wire, heard, far } of others) {
      expect(heard.events).toEqual([]);
      far.end(' and more');
      heard.call(() => wire.resume());
    }
    await until('all is heard', () => others.every(({ heard }) => heard.words.length === 1));
    for (const { heard } of others) expect(heard.received.toString()).toMatch(/^(zero|one|two|three) and more$/);
  });

  test('a FIN, too', async () => {
    const others = await pausedOthers(
      () => undefined,
      () => undefined,
    );
    await settled(() => others.reduce((sum, { heard }) => sum + heard.events.length, 0), 30);
    for (const { wire, heard } of others) {
      expect(heard.events).toEqual([]);
      heard.call(() => wire.resume());
    }
    await until('all ends are heard', () => others.every(({ heard }) => heard.events.length > 0));
    for (const { heard } of others) expect(heard.events).toEqual(['end']);
  });

  test('unread() has them at once, and then they come no more', async () => {
    const taken: string[] = [];
    const others = await pausedOthers(
      (index) => Buffer.from(texts[index]!),
      ({ wire }) => {
        expect(() => wire.detach()).toThrow(/unread\(\)/);
        taken.push(Buffer.from(wire.unread() ?? []).toString());
      },
    );
    expect(others.every(({ wire }) => wire.unread() === undefined)).toBe(true);
    expect(taken.every((text) => texts.includes(text))).toBe(true);
    expect(new Set(taken).size).toBe(3);
    for (const { wire, far } of others) {
      wire.resume();
      far.end('next');
    }
    await until('all ends are heard', () => others.every(({ heard }) => heard.words.length === 1));
    for (const { heard } of others) expect(heard.received.toString()).toBe('next');
  });

  test('a wire that is closed hears nothing of it', async () => {
    const others = await pausedOthers(
      (index) => Buffer.from(texts[index]!),
      ({ wire }) => wire.close(true),
    );
    await settled(() => others.reduce((sum, { heard }) => sum + heard.events.length, 0), 30);
    for (const { heard, wire } of others) {
      expect(heard.events).toEqual([]);
      expect(wire.open).toBe(false);
    }
  });
});

describe('lent and given away', () => {
  test('another reads the descriptor of a paused wire; then the wire has the rest, and the FIN that came meanwhile', async () => {
    const { wire, heard, far } = await bed.open();
    heard.on = () => wire.pause();
    far.write('head');
    await until('the head', () => heard.events.length === 1);
    heard.on = () => undefined;
    expect(wire.unread()).toBeUndefined();
    const fd = native().duplicate(wire.descriptor!);
    const body = bytesOf(300_000);
    const rest = bytesOf(5000);
    far.write(body);
    const read: Buffer[] = [];
    let missing = body.length;
    while (missing > 0) {
      const piece = Buffer.alloc(Math.min(missing, 50_000));
      try {
        const length = readSync(fd, piece);
        read.push(piece.subarray(0, length));
        missing -= length;
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('EAGAIN');
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    far.end(rest);
    await settled(() => heard.events.length, 30);
    native().close(fd);
    expect(heard.events).toEqual(['data']);
    wire.resume();
    await until('the end', () => heard.words.length > 0);
    expect(Buffer.concat(read).equals(body)).toBe(true);
    expect(heard.received.equals(Buffer.concat([Buffer.from('head'), rest]))).toBe(true);
    expect(heard.words).toEqual(['end']);
  });

  test('detach() hands out the descriptor with all that is unread', async () => {
    const { wire, heard, far } = await bed.open();
    heard.on = () => wire.pause();
    const sent = bytesOf(50_000);
    far.write(sent);
    await until('the first read', () => heard.events.length === 1);
    const fd = heard.call(() => wire.detach());
    expect(wire.open).toBe(false);
    expect(wire.descriptor).toBeUndefined();
    const near = new net.Socket({ fd, allowHalfOpen: true });
    far.end();
    expect(Buffer.concat([heard.received, await readAll(near)]).equals(sent)).toBe(true);
    near.end('bye');
    expect((await readAll(far)).toString()).toBe('bye');
    expect(heard.words).toEqual([]);
  });

  test('detach() is refused while bytes are unsent', async () => {
    const { wire } = await bed.open();
    wire.send(bytesOf(16 * MIB));
    expect(wire.unsent).toBeGreaterThan(0);
    expect(() => wire.detach()).toThrow(expect.objectContaining({ code: 'ERR_SPLICE_STATE' }));
    expect(wire.open).toBe(true);
  });

  test('both ends have names', async () => {
    const { wire, far } = await bed.open();
    expect(wire.peer).toEqual({ address: '127.0.0.1', port: far.localPort });
    expect(wire.local).toEqual({ address: '127.0.0.1', port: bed.port });
  });
});

describe('goodbye', () => {
  test('the last reply arrives though the peer has sent more', async () => {
    const { wire, heard, far } = await bed.open();
    heard.on = () => {
      wire.send(Buffer.from('no'));
      heard.call(() => wire.finish());
    };
    far.write(bytesOf(100_000));
    expect((await readAll(far)).toString()).toBe('no');
    expect(wire.open).toBe(false);
    expect(bed.host.lingering.size).toBe(1);
    far.end(bytesOf(100_000));
    await once(far, 'close');
    expect(far.errored).toBeNull();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
    expect(heard.events).toEqual(['data']);
  });

  test.each([false, true])('to a peer that sends all it has before it reads (paused: %s)', async (paused) => {
    const { wire, heard, far } = await bed.open();
    if (paused) wire.pause();
    const sent = bytesOf(16 * MIB);
    wire.send(sent);
    wire.finish();
    await new Promise<void>((resolve) => far.write(bytesOf(16 * MIB), () => resolve()));
    expect((await readAll(far)).equals(sent)).toBe(true);
    far.end();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
    expect(heard.events).toEqual([]);
  });

  test('a short reply to such a peer, whose bytes fill the kernel already', async () => {
    const { wire, far } = await bed.open();
    wire.pause();
    const written = new Promise<void>((resolve) => far.write(bytesOf(16 * MIB), () => resolve()));
    await until('it is there', () => !wire.quiet());
    wire.send(Buffer.from('too much'));
    wire.finish();
    await written;
    expect((await readAll(far)).toString()).toBe('too much');
    far.end();
    await once(far, 'close');
    expect(far.errored).toBeNull();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
  });

  test('paused, with a few bytes unread: the peer gets the reply, and may go on sending', async () => {
    const { wire, far } = await bed.open();
    wire.pause();
    far.write(bytesOf(5000));
    await until('they are there', () => !wire.quiet());
    // The reactor has seen them, and has lost interest.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    wire.send(Buffer.from('too much'));
    wire.finish();
    expect((await readBytes(far, 8)).toString()).toBe('too much');
    await new Promise<void>((resolve) => far.write(bytesOf(16 * MIB), () => resolve()));
    far.end();
    await once(far.resume(), 'close');
    expect(far.errored).toBeNull();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
  });

  test('a deadline ends it: with bytes unsent by RST', async () => {
    const { wire, far } = await bed.open();
    wire.send(bytesOf(16 * MIB));
    wire.finish();
    bed.host.lingering.sweep(performance.now() + 1e6);
    expect(bed.host.lingering.size).toBe(0);
    await resetArrives(far);
  });

  test('a deadline ends it: a peer that never closes is left', async () => {
    const { wire, far } = await bed.open();
    wire.finish();
    expect(bed.host.lingering.size).toBe(1);
    bed.host.lingering.sweep(performance.now() + 1e6);
    expect(bed.host.lingering.size).toBe(0);
    expect(await fateOf(far)).toBe('FIN');
  });

  test('a peer that is done already is not waited for', async () => {
    const { wire, heard, far } = await bed.open();
    far.end();
    await until('the end', () => heard.events.length > 0);
    wire.send(Buffer.from('bye'));
    wire.finish();
    expect(bed.host.lingering.size).toBe(0);
    expect((await readAll(far)).toString()).toBe('bye');
  });
});

describe('broken', () => {
  test('close(true) is RST, close(false) is FIN, and nothing can be done afterwards', async () => {
    for (const [reset, fate] of [
      [true, 'ECONNRESET'],
      [false, 'FIN'],
    ] as const) {
      const { wire, heard, far } = await bed.open();
      heard.call(() => wire.close(reset));
      expect(await fateOf(far)).toBe(fate);
      expect(wire.open).toBe(false);
      wire.send(Buffer.from('x'));
      wire.pause();
      wire.resume();
      wire.finish();
      wire.close(true);
      expect(wire.detach()).toBe(-1);
      expect(wire.descriptor).toBeUndefined();
      expect(heard.events).toEqual([]);
    }
  });

  test.each([false, true])('a reset is heard (paused: %s)', async (paused) => {
    const { wire, heard, far } = await bed.open();
    if (paused) wire.pause();
    far.resetAndDestroy();
    await until('broken', () => heard.events.length > 0);
    expect(heard.events).toEqual([`broken ${ECONNRESET}`]);
    expect(wire.open).toBe(false);
  });

  test('a reset behind a FIN is heard, once, as both', async () => {
    const { wire, heard, far } = await bed.open();
    far.end();
    await until('the end', () => heard.events.length > 0);
    // The far end closes with bytes unread.
    wire.send(Buffer.from('nobody reads this'));
    far.resetAndDestroy();
    await until('broken', () => heard.events.length > 1);
    expect(heard.events).toEqual(['end', expect.stringMatching(/^broken /)]);
  });

  test('a failed send breaks the wire later, behind what the peer had said', async () => {
    const { wire, heard, far } = await bed.open();
    const answer = bytesOf(40_000);
    wire.pause();
    far.write(answer);
    await until('the answer is here', () => far.writableLength === 0 && !wire.quiet());
    wire.resume();
    far.resetAndDestroy();
    // Before the reactor's next turn, so that it is the send that finds out.
    broken(wire);
    heard.call(() => wire.send(Buffer.from('more of the request')));
    expect(wire.open).toBe(true);
    await until('broken', () => heard.words.length > 0);
    expect(heard.received.equals(answer)).toBe(true);
    expect(heard.words).toEqual([`broken ${ECONNRESET}`]);
    expect(wire.open).toBe(false);
    expect(await settled(() => heard.words.length, 30)).toBe(1);
  });

  test('a send that fails behind a FIN: the end was a true one', async () => {
    const { wire, heard, far } = await bed.open();
    wire.pause();
    far.end('whole');
    await until('it is here', () => !wire.quiet());
    await once(far, 'finish');
    far.destroy();
    // The first finds nobody there, and is answered with a reset; the second fails.
    heard.call(() => wire.send(Buffer.from('x')));
    broken(wire);
    heard.call(() => wire.send(Buffer.from('y')));
    heard.call(() => wire.resume());
    await until('broken', () => heard.words.length > 1);
    expect(heard.received.toString()).toBe('whole');
    expect(heard.words).toEqual(['end', `broken ${EPIPE}`]);
  });

  test('a failed send whose owner closes hears nothing of it', async () => {
    const { wire, heard, far } = await bed.open();
    far.resetAndDestroy();
    broken(wire);
    heard.call(() => wire.send(Buffer.from('x')));
    wire.close(true);
    expect(await settled(() => heard.events.length, 30)).toBe(0);
  });

  test('a peer that resets while bytes are unsent', async () => {
    const { wire, heard, far } = await bed.open();
    wire.send(bytesOf(16 * MIB));
    await readBytes(far, MIB);
    far.resetAndDestroy();
    await until('broken', () => heard.words.some((word) => word.startsWith('broken')));
    expect(heard.events).toEqual([`broken ${ECONNRESET}`]);
    expect(wire.unsent).toBe(0);
  });

  test('a peer that resets while the wire finishes leaves nothing behind', async () => {
    const { wire, heard, far } = await bed.open();
    wire.send(bytesOf(16 * MIB));
    wire.finish();
    await readBytes(far, MIB);
    far.resetAndDestroy();
    await until('nobody lingers', () => bed.host.lingering.size === 0);
    expect(heard.events).toEqual([]);
  });
});
