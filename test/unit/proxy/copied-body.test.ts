/** Content that passes through JavaScript: every framing, every cut, every way in which one of the three sides ends. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CHUNKED, NO_BODY, UNTIL_CLOSE, type Framing } from '../../../src/http/framing.js';
import { BodyClock } from '../../../src/proxy/body-clock.js';
import type { Incoming, Outgoing, Transfer } from '../../../src/proxy/body.js';
import { discardBody, relayBody } from '../../../src/proxy/relay-body.js';
import { bytesOf, until } from '../../support/flow-bed.js';
import {
  FakeFillBed,
  HEAD,
  MemoryWire,
  Receiver,
  always,
  chunked,
  decode,
  incoming,
  latin1,
  length,
  never,
  outgoing,
  type FakeFill,
} from './body-bed.js';

const KIB = 1024;
const MIB = 1024 * KIB;

let bed: FakeFillBed;
let source: MemoryWire;
let client: MemoryWire;
let receiver: Receiver;
const clock = new BodyClock();
clock.stop(); // tests tick
const tap = {
  relayBody: () => {
    throw new Error('no descriptors, no kernel');
  },
  sendFile: () => {
    throw new Error('no descriptors, no kernel');
  },
};
const movers = { tap, clock };

beforeEach(() => {
  bed = new FakeFillBed();
  source = new MemoryWire();
  client = new MemoryWire();
  receiver = new Receiver();
  client.owner = receiver;
});
afterEach(() => {
  bed.dispose();
  expect(clock.size).toBe(0);
});

interface Way {
  readonly in: Partial<Incoming>;
  readonly out: Partial<Outgoing>;
  readonly fill: FakeFill;
  readonly finishes: (received: number, length: number | undefined) => boolean;
  readonly discard: boolean;
}

function relay(from: Incoming['framing'], to: Framing, way: Partial<Way> = {}): Transfer {
  const transfer = relayBody(
    movers,
    incoming(source, from, way.in),
    way.discard === true ? undefined : outgoing(client, to, way.out),
    way.fill,
    way.finishes ?? never,
  );
  receiver.transfer = transfer;
  return transfer;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function framed(framing: Framing, content: Buffer, trailers = ''): Buffer {
  return framing.kind === 'chunked' ? chunked(content, [7, 300, 1], trailers) : content;
}

function got(framing: Framing): ReturnType<typeof decode> {
  const all = Buffer.concat(client.got);
  expect(all.subarray(0, HEAD.length)).toEqual(HEAD);
  return decode(framing, all.subarray(HEAD.length));
}

/** Megabytes are compared as such, not byte by byte as objects. */
function same(arrived: ReturnType<typeof decode>, content: Buffer, whole = true): void {
  expect(arrived.whole).toBe(whole);
  expect(arrived.behind).toBe(0);
  expect(arrived.content.equals(content)).toBe(true);
}

describe('all there at the call', () => {
  test.each([0, 1, 1000])('%i bytes with a length: one send, and both ends are known', (size) => {
    const content = bytesOf(size);
    const next = latin1('HTTP/1.1 304');
    const before = source.owner;
    const transfer = relay(length(size), length(size), { in: { rest: Buffer.concat([content, next]) } });
    expect(client.sends).toBe(1);
    expect(transfer.receivedEnd).toMatchObject({ reason: 'complete', bytes: size });
    expect(Buffer.from(transfer.receivedEnd!.leftover)).toEqual(next);
    expect(transfer.deliveredEnd).toEqual({ reason: 'complete', errno: 0, bytes: size });
    expect(got(length(size)).content).toEqual(content);
    expect(source.owner).toBe(before);
    expect(source.paused).toBe(false);
  });

  test('chunked: one send, with the trailers', () => {
    const content = bytesOf(500);
    const rest = Buffer.concat([framed(CHUNKED, content, 'Checksum: 1\r\n'), latin1('more')]);
    const transfer = relay({ kind: 'chunked' }, CHUNKED, { in: { rest } });
    expect(client.sends).toBe(1);
    expect(Buffer.from(transfer.receivedEnd!.leftover)).toEqual(latin1('more'));
    expect(transfer.receivedEnd!.trailers.get('checksum')).toBe('1');
    const { content: arrived, trailers, whole, behind } = got(CHUNKED);
    expect({ whole, behind, arrived }).toEqual({ whole: true, behind: 0, arrived: content });
    expect(trailers.get('checksum')).toBe('1');
  });

  test('no content at all', () => {
    const transfer = relay({ kind: 'none' }, NO_BODY);
    expect(transfer.deliveredEnd?.reason).toBe('complete');
    expect(transfer.receivedEnd?.reason).toBe('complete');
    expect(client.text).toBe(HEAD.toString('latin1'));
  });

  test('a FIN that was read before is the end of what closes', () => {
    source.ended = true;
    const transfer = relay({ kind: 'close' }, CHUNKED, { in: { rest: latin1('all') } });
    expect(transfer.receivedEnd?.reason).toBe('complete');
    expect(got(CHUNKED)).toMatchObject({ whole: true, content: latin1('all') });
  });

  test('a promise that is asked for afterwards resolves as well', async () => {
    const transfer = relay(length(3), length(3), { in: { rest: latin1('abc') } });
    expect((await transfer.received).reason).toBe('complete');
    expect((await transfer.delivered).bytes).toBe(3);
  });
});

describe('the head does not wait for content', () => {
  test.each([length(5), CHUNKED, UNTIL_CLOSE])('%o', async (framing) => {
    const transfer = relay(framing as Incoming['framing'], framing);
    expect(client.text).toBe(HEAD.toString('latin1'));
    transfer.abort();
    expect((await transfer.delivered).reason).toBe('aborted');
  });
});

describe('every framing into every other', () => {
  const froms: Incoming['framing']['kind'][] = ['length', 'chunked', 'close'];
  const tos: Framing['kind'][] = ['length', 'chunked', 'close'];
  test.each(froms.flatMap((from) => tos.map((to) => [from, to] as const)))('%s to %s', async (from, to) => {
    const content = bytesOf(100 * KIB);
    const fromFraming = from === 'length' ? length(content.length) : { kind: from as 'chunked' | 'close' };
    const toFraming: Framing = to === 'length' ? length(content.length) : { kind: to as 'chunked' | 'close' };
    const fill = bed.fill(from === 'length' ? content.length : undefined);
    const transfer = relay(fromFraming, toFraming, { fill });
    const sent = framed(fromFraming, content);
    for (let at = 0; at < sent.length; at += 5000) source.says(sent.subarray(at, at + 5000));
    if (from === 'close') source.ends();
    expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: content.length });
    expect(await transfer.delivered).toMatchObject({ reason: 'complete', bytes: content.length });
    same(got(toFraming), content);
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.content.equals(content)).toBe(true);
    expect(fill.ends).toEqual([{ received: content.length, whole: true, stored: undefined }]);
    expect(source.paused).toBe(true);
  });
});

describe('the source fails', () => {
  const content = bytesOf(1000);
  const ways: { name: string; framing: Incoming['framing']; how: () => void; reason: string }[] = [
    { name: 'FIN in a length', framing: length(1001), how: () => source.ends(), reason: 'short' },
    { name: 'FIN in a chunk', framing: { kind: 'chunked' }, how: () => source.ends(), reason: 'short' },
    { name: 'reset in a length', framing: length(1001), how: () => source.breaks(104), reason: 'reset' },
    { name: 'reset of what closes', framing: { kind: 'close' }, how: () => source.breaks(104), reason: 'reset' },
    { name: 'bad chunk', framing: { kind: 'chunked' }, how: () => source.says(latin1('zz\r\n')), reason: 'refused' },
  ];
  test.each(ways)('$name: $reason, on both sides, and the fill is not whole', async ({ framing, how, reason }) => {
    const fill = bed.fill();
    const before = new Receiver();
    source.owner = before;
    const to = framing.kind === 'length' ? framing : CHUNKED;
    fill.gate = turn;
    const transfer = relay(framing, to, { fill, finishes: always });
    source.says(framed(framing, content).subarray(0, framing.kind === 'chunked' ? -5 : undefined));
    how();
    // Nobody else follows it, from this turn on, although its disk is still busy.
    expect([fill.cuts, fill.ends.length]).toEqual([1, 0]);
    expect(await transfer.received).toMatchObject({ reason, bytes: 1000 });
    expect(await transfer.delivered).toMatchObject({ reason, bytes: 1000 });
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toEqual([{ received: 1000, whole: false, stored: undefined }]);
    expect(source.owner).toBe(before);
    expect(before.broken).toBe(reason === 'reset' ? 104 : undefined);
    // Cut content does not look whole.
    if (to.kind === 'chunked') expect(got(to).whole).toBe(false);
    else expect(got(to).content.length).toBeLessThan(1001);
  });

  test('cut at every byte of a chunked body', async () => {
    const sent = chunked(bytesOf(40), [1, 16], 'A: b\r\n');
    for (let at = 0; at < sent.length; at++) {
      source = new MemoryWire();
      client = new MemoryWire();
      const transfer = relay({ kind: 'chunked' }, CHUNKED);
      source.says(sent.subarray(0, at));
      source.ends();
      expect((await transfer.received).reason).toBe('short');
      expect((await transfer.delivered).reason).toBe('short');
      expect(got(CHUNKED).whole).toBe(false);
    }
  });

  test('more than is allowed, announced: nothing is sent, not even the head', () => {
    const transfer = relay(length(11), length(11), { in: { maxBytes: 10, rest: latin1('0123456789a') } });
    expect(transfer.receivedEnd?.reason).toBe('too-large');
    expect(transfer.deliveredEnd?.reason).toBe('too-large');
    expect(client.sends).toBe(0);
  });

  test.each([CHUNKED, UNTIL_CLOSE])('more than is allowed, found out: %o', async (framing) => {
    const transfer = relay(framing as Incoming['framing'], CHUNKED, { in: { maxBytes: 10 } });
    source.says(framing.kind === 'chunked' ? latin1('b\r\n') : bytesOf(11));
    expect((await transfer.received).reason).toBe('too-large');
    expect((await transfer.delivered).reason).toBe('too-large');
    expect(got(CHUNKED).whole).toBe(false);
  });

  test('more than was announced to the receiver', async () => {
    const transfer = relay({ kind: 'close' }, length(10));
    source.says(bytesOf(8));
    source.says(bytesOf(8));
    expect((await transfer.received).reason).toBe('refused');
    expect(await transfer.delivered).toMatchObject({ reason: 'refused', bytes: 8 });
  });

  test('less than was announced to the receiver', async () => {
    const transfer = relay({ kind: 'close' }, length(10));
    source.says(bytesOf(8));
    source.ends();
    expect((await transfer.received).reason).toBe('complete');
    expect(await transfer.delivered).toMatchObject({ reason: 'short', bytes: 8 });
  });

  test('says nothing for its idle time, and not before', async () => {
    const transfer = relay(length(10), length(10), { in: { idleTimeout: 300 } });
    for (let i = 0; i < 3; i++) clock.tick();
    source.says(bytesOf(1));
    for (let i = 0; i < 3; i++) clock.tick();
    expect(transfer.receivedEnd).toBeUndefined();
    clock.tick();
    expect((await transfer.received).reason).toBe('idle');
    expect((await transfer.delivered).reason).toBe('idle');
  });

  test('is gone before it begins', () => {
    source.open = false;
    const transfer = relay(length(10), length(10));
    expect(transfer.receivedEnd?.reason).toBe('reset');
    expect(transfer.deliveredEnd?.reason).toBe('reset');
  });
});

describe('the client', () => {
  test('is lost without a fill: nobody reads on', async () => {
    const transfer = relay(length(10), length(10));
    source.says(bytesOf(5));
    client.breaks(104);
    expect(await transfer.delivered).toMatchObject({ reason: 'reset', bytes: 5 });
    expect(await transfer.received).toMatchObject({ reason: 'unwanted', bytes: 5 });
    expect(source.paused).toBe(true);
  });

  test('is lost, and the fill is worth it: the source goes on', async () => {
    const fill = bed.fill(10);
    const finishes = vi.fn(always);
    const transfer = relay(length(10), length(10), { fill, finishes });
    source.says(bytesOf(5));
    client.breaks(104);
    expect((await transfer.delivered).reason).toBe('reset');
    expect(finishes.mock.calls).toEqual([[5, 10]]);
    source.says(bytesOf(5));
    expect((await transfer.received).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toEqual([{ received: 10, whole: true, stored: undefined }]);
  });

  test('is lost, and the fill is not worth it', async () => {
    const fill = bed.fill(10);
    const transfer = relay(length(10), length(10), { fill });
    source.says(bytesOf(5));
    client.breaks(104);
    expect((await transfer.received).reason).toBe('unwanted');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toEqual([{ received: 5, whole: false, stored: undefined }]);
  });

  test('is lost, and then the store fails: nobody is left', async () => {
    const fill = bed.fill(10);
    fill.room = 7;
    const transfer = relay(length(10), length(10), { fill, finishes: always });
    source.says(bytesOf(5));
    client.breaks(104);
    source.says(bytesOf(4));
    expect((await transfer.received).reason).toBe('unwanted');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toEqual([{ received: 5, whole: false, stored: undefined }]);
  });

  test('is slow: without a fill the source waits for it', async () => {
    client.window = 0;
    const content = bytesOf(2 * MIB);
    const transfer = relay(length(content.length), length(content.length));
    for (let at = 0; at < content.length; at += 64 * KIB) source.says(content.subarray(at, at + 64 * KIB));
    expect(source.paused).toBe(true);
    expect(client.unsent).toBeLessThan(512 * KIB);
    while (transfer.deliveredEnd === undefined) {
      client.takes(100 * KIB);
      await turn();
    }
    expect((await transfer.received).reason).toBe('complete');
    client.takes(Infinity);
    same(got(length(0)), content);
  });

  test('is slow: with a fill the source does not wait, and the client gets all of it from there', async () => {
    client.window = 0;
    const content = bytesOf(4 * MIB);
    const fill = bed.fill();
    const transfer = relay({ kind: 'chunked' }, CHUNKED, { fill });
    const sent = chunked(content, [50_000], 'A: b\r\n');
    for (let at = 0; at < sent.length; at += 64 * KIB) {
      source.says(sent.subarray(at, at + 64 * KIB));
      await turn();
    }
    expect((await transfer.received).reason).toBe('complete');
    expect(client.got).toEqual([]);
    expect(transfer.deliveredEnd).toBeUndefined();
    expect(client.unsent).toBeLessThan(512 * KIB);
    while (transfer.deliveredEnd === undefined) {
      client.takes(100 * KIB);
      await turn();
    }
    client.takes(Infinity);
    expect(await transfer.delivered).toMatchObject({ reason: 'complete', bytes: content.length });
    const arrived = got(CHUNKED);
    same(arrived, content);
    expect(arrived.trailers.get('a')).toBe('b');
    expect(fill.followers).toBe(0);
  });

  test.each([0, 300 * KIB, MIB])('is slow, and the store fails at %i: it still gets every byte', async (room) => {
    client.window = 0;
    const content = bytesOf(2 * MIB);
    const fill = bed.fill(content.length);
    fill.room = room;
    const transfer = relay(length(content.length), length(content.length), { fill });
    for (let at = 0; at < content.length; at += 64 * KIB) source.says(content.subarray(at, at + 64 * KIB));
    while (transfer.deliveredEnd === undefined) {
      client.takes(100 * KIB);
      await turn();
    }
    client.takes(Infinity);
    expect((await transfer.received).reason).toBe('complete');
    expect((await transfer.delivered).reason).toBe('complete');
    same(got(length(0)), content);
    expect(fill.ends).toHaveLength(1);
    expect(fill.ends[0]).toMatchObject({ whole: false });
    expect(fill.followers).toBe(0);
  });

  test('is behind, and the source fails: it gets what there was, and no end', async () => {
    client.window = 0;
    const content = bytesOf(MIB);
    const fill = bed.fill();
    const transfer = relay({ kind: 'chunked' }, CHUNKED, { fill });
    source.says(chunked(content, [64 * KIB]).subarray(0, -5));
    await turn();
    source.breaks(104);
    expect((await transfer.received).reason).toBe('reset');
    for (let i = 0; transfer.deliveredEnd === undefined; i++) {
      client.takes(100 * KIB);
      await turn();
    }
    client.takes(Infinity);
    expect(await transfer.delivered).toMatchObject({ reason: 'reset', bytes: content.length });
    same(got(CHUNKED), content, false);
  });

  test('takes nothing for its idle time, directly and behind a fill', async () => {
    for (const fill of [undefined, bed.fill(MIB)]) {
      source = new MemoryWire();
      client = new MemoryWire();
      client.owner = receiver;
      client.window = 0;
      const transfer = relay(length(MIB), length(MIB), { out: { idleTimeout: 200 }, ...(fill && { fill }) });
      source.says(bytesOf(300 * KIB));
      await turn();
      clock.tick();
      clock.tick();
      client.takes(10);
      clock.tick();
      clock.tick();
      expect(transfer.deliveredEnd).toBeUndefined();
      clock.tick();
      clock.tick();
      clock.tick();
      expect((await transfer.delivered).reason).toBe('idle');
      expect((await transfer.received).reason).toBe('unwanted');
    }
  });

  test('waits for the next piece longer than its idle time: that is not its fault', () => {
    const transfer = relay(length(10), length(10), { out: { idleTimeout: 100 } });
    for (let i = 0; i < 10; i++) clock.tick();
    expect(transfer.deliveredEnd).toBeUndefined();
    transfer.abort();
  });
});

describe('the store', () => {
  test('is slow: the source waits, the client has what came', async () => {
    const content = bytesOf(3 * MIB);
    const fill = bed.fill(content.length);
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    fill.gate = () => opened;
    const transfer = relay(length(content.length), length(content.length), { fill });
    for (let at = 0; at < content.length; at += 64 * KIB) source.says(content.subarray(at, at + 64 * KIB));
    await turn();
    expect(source.paused).toBe(true);
    expect(transfer.sent).toBeGreaterThan(MIB);
    expect(transfer.sent).toBeLessThan(2 * MIB);
    open();
    expect((await transfer.delivered).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.content.equals(content)).toBe(true);
  });

  test.each([0, 1, 1000, 1999])('takes only %i bytes: the client does not notice', async (room) => {
    const content = bytesOf(2000);
    const fill = bed.fill(2000);
    fill.room = room;
    const transfer = relay(length(2000), length(2000), { fill });
    for (let at = 0; at < 2000; at += 100) source.says(content.subarray(at, at + 100));
    expect((await transfer.received).reason).toBe('complete');
    expect((await transfer.delivered).reason).toBe('complete');
    same(got(length(0)), content);
    await until('the fill is ended', () => fill.ends.length > 0);
    await turn();
    expect(fill.ends).toEqual([{ received: Math.floor(room / 100) * 100, whole: false, stored: undefined }]);
  });

  test('alone gets it, when there is no client', async () => {
    const content = bytesOf(1000);
    const fill = bed.fill(1000);
    const transfer = relay(length(1000), NO_BODY, { fill, discard: true });
    expect(transfer.deliveredEnd?.reason).toBe('unwanted');
    source.says(content);
    expect((await transfer.received).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.content.equals(content)).toBe(true);
  });

  test('is ended once when all is aborted', async () => {
    const fill = bed.fill(1000);
    const transfer = relay(length(1000), length(1000), { fill, finishes: always });
    source.says(bytesOf(10));
    transfer.abort();
    transfer.abort();
    expect((await transfer.received).reason).toBe('aborted');
    expect((await transfer.delivered).reason).toBe('aborted');
    await turn();
    expect(fill.ends).toEqual([{ received: 10, whole: false, stored: undefined }]);
  });
});

describe('content that nobody gets', () => {
  test('is read away', async () => {
    const transfer = discardBody(movers, incoming(source, { kind: 'chunked' }), 1000);
    source.says(chunked(bytesOf(900), [100]));
    expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: 900 });
  });

  test('up to a limit', async () => {
    expect(discardBody(movers, incoming(source, length(1001)), 1000).receivedEnd?.reason).toBe('too-large');
    const transfer = discardBody(movers, incoming(source, { kind: 'close' }), 1000);
    source.says(bytesOf(1001));
    expect((await transfer.received).reason).toBe('too-large');
  });
});

test('what else happens on the source is for its owner', async () => {
  const before = new Receiver();
  const drained = vi.fn();
  before.transfer = { lost: () => undefined, drained };
  source.owner = before;
  const transfer = relay(length(10), length(10));
  source.window = 0;
  source.send(latin1('early answer'));
  source.takes(100);
  expect(drained).toHaveBeenCalledOnce();
  source.says(bytesOf(10));
  await transfer.received;
  expect(source.owner).toBe(before);
});

test('what arrives is what was sent, however it was cut, framed, delayed and stored', async () => {
  const framings = ['length', 'chunked', 'close'] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        size: fc.nat({ max: 600_000 }),
        from: fc.constantFrom(...framings),
        to: fc.constantFrom(...framings),
        chunks: fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
        cuts: fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 6 }),
        takes: fc.array(fc.integer({ min: 3000, max: 200_000 }), { minLength: 1, maxLength: 6 }),
        early: fc.nat({ max: 2000 }),
        patient: fc.boolean(),
        room: fc.option(fc.nat({ max: 700_000 }), { nil: undefined }),
        slowDisk: fc.boolean(),
      }),
      async (way) => {
        source = new MemoryWire();
        client = new MemoryWire();
        client.owner = receiver;
        client.window = way.patient ? 0 : Infinity;
        const content = bytesOf(way.size);
        const from: Incoming['framing'] = way.from === 'length' ? length(way.size) : { kind: way.from };
        const to: Framing = way.to === 'length' ? length(way.size) : { kind: way.to };
        const behind = way.from === 'close' ? Buffer.alloc(0) : latin1('behind');
        const sent = Buffer.concat([from.kind === 'chunked' ? chunked(content, way.chunks) : content, behind]);
        const rest = sent.subarray(0, way.early);
        const fill = way.room === undefined ? undefined : bed.fill(way.from === 'length' ? way.size : undefined);
        if (fill !== undefined) {
          fill.room = way.room!;
          if (way.slowDisk) fill.gate = turn;
        }
        const transfer = relay(from, to, { in: { rest: Buffer.from(rest) }, ...(fill && { fill }) });
        let cut = 0;
        for (let at = rest.length; at < sent.length;) {
          const upTo = at + way.cuts[cut++ % way.cuts.length]!;
          if (transfer.receivedEnd === undefined) source.says(sent.subarray(at, upTo));
          at = upTo;
          if (cut % 3 === 0) await turn();
        }
        if (way.from === 'close') source.ends();
        for (let i = 0; transfer.deliveredEnd === undefined || transfer.receivedEnd === undefined; i++) {
          if (i > 20_000) throw new Error('it does not end');
          client.takes(way.takes[i % way.takes.length]!);
          await turn();
        }
        client.takes(Infinity);
        expect(transfer.receivedEnd).toMatchObject({ reason: 'complete', bytes: way.size });
        expect(transfer.deliveredEnd).toMatchObject({ reason: 'complete', bytes: way.size });
        const arrived = got(to);
        expect(arrived.whole && arrived.content.equals(content) && arrived.behind === 0).toBe(true);
        if (fill === undefined) return;
        await until('the fill is ended', () => fill.ends.length > 0);
        const whole = way.size <= way.room!;
        expect(fill.ends).toHaveLength(1);
        expect(fill.ends[0]).toMatchObject({ whole });
        expect(fill.content.equals(content.subarray(0, fill.ends[0]!.received))).toBe(true);
      },
    ),
    { numRuns: 150 },
  );
}, 600_000);
