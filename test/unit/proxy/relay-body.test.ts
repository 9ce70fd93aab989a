/** Content between sockets: what the kernel moves, where it takes over and gives back, and how each side ends. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CHUNKED, UNTIL_CLOSE, type Framing } from '../../../src/http/framing.js';
import type { Incoming, Transfer } from '../../../src/proxy/body.js';
import { KERNEL_BYTES } from '../../../src/proxy/body-movers.js';
import { relayBody } from '../../../src/proxy/relay-body.js';
import { bytesOf, descriptors, fateOf, readAll, readBytes, settled, until } from '../../support/flow-bed.js';
import {
  FakeFillBed,
  HEAD,
  Receiver,
  WireBed,
  always,
  chunked,
  decode,
  incoming,
  latin1,
  length,
  makeMovers,
  never,
  outgoing,
  type FakeFill,
  type RealMovers,
  type RealWire,
} from './body-bed.js';

const KIB = 1024;
const MIB = 1024 * KIB;
/** More than the sockets of a loopback connection hold. */
const BULK = 24 * MIB;

let movers: RealMovers;
let bodies = 0;
let fills: FakeFillBed;
let wires: WireBed;
let source: RealWire;
let client: RealWire;
let receiver: Receiver;
let before: Receiver;
beforeAll(() => {
  movers = makeMovers();
  const { tap } = movers;
  const relay = tap.relayBody.bind(tap);
  tap.relayBody = (...given) => {
    bodies++;
    return relay(...given);
  };
});
afterAll(() => movers.stop());
beforeEach(async () => {
  bodies = 0;
  fills = new FakeFillBed();
  wires = new WireBed();
  [source, client] = await Promise.all([wires.wire(), wires.wire()]);
  receiver = new Receiver();
  before = new Receiver();
  client.wire.owner = receiver;
  source.wire.owner = before;
});
afterEach(() => {
  wires.dispose();
  fills.dispose();
  expect(movers.clock.size).toBe(0);
});

interface Way {
  readonly in: Partial<Incoming>;
  readonly fill: FakeFill;
  readonly finishes: (received: number, length: number | undefined) => boolean;
  readonly clientIdle: number;
}

function relay(from: Incoming['framing'], to: Framing | undefined, way: Partial<Way> = {}): Transfer {
  const out = to && outgoing(client.wire, to, { idleTimeout: way.clientIdle ?? 0 });
  const transfer = relayBody(movers, incoming(source.wire, from, way.in), out, way.fill, way.finishes ?? never);
  receiver.transfer = transfer;
  return transfer;
}

/** Everything up to our FIN, behind the head. */
async function received(transfer: Transfer): Promise<Buffer> {
  const all = readAll(client.far);
  await transfer.delivered;
  if (client.wire.unsent > 0) await until('it has drained', () => client.wire.unsent === 0);
  client.wire.finish();
  const bytes = await all;
  expect(bytes.subarray(0, HEAD.length).equals(HEAD)).toBe(true);
  return bytes.subarray(HEAD.length);
}

const isSame = (a: Buffer, b: Buffer): void => expect(a.equals(b)).toBe(true);

describe('of known length', () => {
  test.each([KERNEL_BYTES, KERNEL_BYTES + 1, MIB, BULK])('%i bytes, by the kernel from a size on', async (size) => {
    const content = bytesOf(size);
    source.far.write(content);
    source.far.write('next');
    const transfer = relay(length(size), length(size));
    isSame(await received(transfer), content);
    expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: size });
    expect(await transfer.delivered).toEqual({ reason: 'complete', errno: 0, bytes: size });
    expect(bodies).toBe(size > KERNEL_BYTES ? 1 : 0);
    expect(source.wire.owner).toBe(before);
    // What is behind the content is the owner's.
    if (size === KERNEL_BYTES) return;
    const next = new Promise((resolve) => {
      source.wire.owner.onData = (bytes) => resolve(Buffer.from(bytes).toString());
    });
    source.wire.resume();
    expect(await next).toBe('next');
  });

  test('some of it was read before', async () => {
    const content = bytesOf(MIB);
    source.far.write(content.subarray(1000));
    const transfer = relay(length(MIB), length(MIB), { in: { rest: content.subarray(0, 1000) } });
    isSame(await received(transfer), content);
    expect(bodies).toBe(1);
  });

  test.each([CHUNKED, UNTIL_CLOSE])('out as %o', async (framing) => {
    const content = bytesOf(MIB);
    source.far.write(content);
    const transfer = relay(length(MIB), framing);
    const arrived = decode(framing, await received(transfer));
    isSame(arrived.content, content);
    expect(arrived.whole).toBe(true);
    expect(bodies).toBe(1);
  });

  test('waits until what was unsent before has gone', async () => {
    const content = bytesOf(MIB);
    const ahead = bytesOf(BULK);
    client.wire.send(ahead);
    expect(client.wire.unsent).toBeGreaterThan(0);
    source.far.write(content);
    const transfer = relay(length(MIB), length(MIB));
    isSame(await readBytes(client.far, BULK), ahead);
    isSame(await received(transfer), content);
    expect(bodies).toBe(1);
  });

  test('the source ends early', async () => {
    source.far.end(bytesOf(MIB));
    const transfer = relay(length(2 * MIB), length(2 * MIB));
    expect(await transfer.received).toMatchObject({ reason: 'short', bytes: MIB });
    await readBytes(client.far, HEAD.length + MIB);
    expect(await transfer.delivered).toMatchObject({ reason: 'short', bytes: MIB });
    client.wire.close(true);
    expect(await fateOf(client.far)).toBe('ECONNRESET');
  });

  test('the source is reset', async () => {
    const transfer = relay(length(2 * MIB), length(2 * MIB));
    source.far.write(bytesOf(MIB));
    await readBytes(client.far, MIB + HEAD.length);
    source.far.resetAndDestroy();
    expect((await transfer.received).reason).toBe('reset');
    expect((await transfer.delivered).reason).toBe('reset');
  });

  test('the source stalls', async () => {
    source.far.write(bytesOf(MIB));
    const transfer = relay(length(2 * MIB), length(2 * MIB), { in: { idleTimeout: 1500 } });
    client.far.resume();
    expect(await transfer.received).toMatchObject({ reason: 'idle', bytes: MIB });
    expect((await transfer.delivered).reason).toBe('idle');
  });

  test('the client is reset', async () => {
    source.far.write(bytesOf(BULK));
    const transfer = relay(length(BULK), length(BULK));
    await readBytes(client.far, 100);
    client.far.resetAndDestroy();
    expect((await transfer.delivered).reason).toBe('reset');
    expect((await transfer.received).reason).toBe('unwanted');
    expect(source.wire.owner).toBe(before);
  });

  test('the client stalls', async () => {
    source.far.write(bytesOf(BULK));
    const transfer = relay(length(BULK), length(BULK), { clientIdle: 300 });
    expect((await transfer.delivered).reason).toBe('idle');
    expect((await transfer.received).reason).toBe('unwanted');
  });

  test('aborted', async () => {
    source.far.write(bytesOf(BULK));
    const transfer = relay(length(BULK), length(BULK));
    await readBytes(client.far, 100);
    transfer.abort();
    expect((await transfer.delivered).reason).toBe('aborted');
    expect((await transfer.received).reason).toBe('aborted');
  });
});

describe('into the store', () => {
  test.each([KERNEL_BYTES + 101, MIB, BULK])('%i bytes', async (size) => {
    const content = bytesOf(size);
    const fill = fills.fill(size);
    source.far.write(content.subarray(100));
    const transfer = relay(length(size), length(size), { fill, in: { rest: content.subarray(0, 100) } });
    isSame(await received(transfer), content);
    expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: size });
    expect(await transfer.delivered).toEqual({ reason: 'complete', errno: 0, bytes: size });
    await until('the fill is ended', () => fill.ends.length > 0);
    isSame(fill.content, content);
    expect(fill.ends).toEqual([{ received: size, whole: true, stored: size }]);
    expect(bodies).toBe(1);
  });

  test('out in chunks', async () => {
    const content = bytesOf(MIB);
    const fill = fills.fill(MIB);
    source.far.write(content);
    const transfer = relay(length(MIB), CHUNKED, { fill });
    const arrived = decode(CHUNKED, await received(transfer));
    isSame(arrived.content, content);
    expect(arrived.whole).toBe(true);
  });

  test('without a client', async () => {
    const content = bytesOf(MIB);
    const fill = fills.fill(MIB);
    source.far.write(content);
    const transfer = relay(length(MIB), undefined, { fill });
    expect(transfer.deliveredEnd?.reason).toBe('unwanted');
    expect((await transfer.received).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    isSame(fill.content, content);
  });

  test('a client that does not read does not hold it up', async () => {
    const content = bytesOf(BULK);
    const fill = fills.fill(BULK);
    source.far.write(content);
    const transfer = relay(length(BULK), length(BULK), { fill });
    expect((await transfer.received).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(transfer.deliveredEnd).toBeUndefined();
    isSame(await received(transfer), content);
    expect((await transfer.delivered).reason).toBe('complete');
  });

  test.each([
    ['goes on', always, 'complete', true],
    ['ends', never, 'unwanted', false],
  ] as const)('the client is lost: it %s', async (_, finishes, reason, whole) => {
    const content = bytesOf(2 * MIB);
    const fill = fills.fill(2 * MIB);
    source.far.write(content.subarray(0, MIB));
    const transfer = relay(length(2 * MIB), length(2 * MIB), { fill, finishes });
    await readBytes(client.far, 100);
    client.far.resetAndDestroy();
    expect((await transfer.delivered).reason).toBe('reset');
    if (whole) source.far.write(content.subarray(MIB));
    expect((await transfer.received).reason).toBe(reason);
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toHaveLength(1);
    expect(fill.ends[0]).toMatchObject({ whole });
    if (whole) isSame(fill.content, content);
  });

  test('the disk does not take it: the client does not notice', async () => {
    const content = bytesOf(MIB);
    const fill = fills.fill(MIB);
    fill.room = 0;
    source.far.write(content);
    const transfer = relay(length(MIB), length(MIB), { fill });
    isSame(await received(transfer), content);
    expect((await transfer.received).reason).toBe('complete');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends[0]).toMatchObject({ whole: true, stored: 0, received: MIB });
  });

  test('the disk is full on the way: the fill is over at once, the client does not notice', async () => {
    const content = bytesOf(2 * MIB);
    const fill = fills.fill(2 * MIB);
    fill.device = '/dev/full';
    source.far.write(content.subarray(0, MIB));
    const transfer = relay(length(2 * MIB), length(2 * MIB), { fill });
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(transfer.receivedEnd).toBeUndefined();
    source.far.write(content.subarray(MIB));
    isSame(await received(transfer), content);
    expect((await transfer.received).reason).toBe('complete');
    expect(fill.ends).toHaveLength(1);
    expect(fill.ends[0]).toMatchObject({ whole: false, stored: 0 });
    expect(fill.ends[0]!.received).toBeGreaterThan(0);
  });

  test('the source dies: nothing whole is left', async () => {
    const fill = fills.fill(2 * MIB);
    source.far.write(bytesOf(MIB));
    const transfer = relay(length(2 * MIB), length(2 * MIB), { fill, finishes: always });
    await readBytes(client.far, MIB + HEAD.length);
    source.far.resetAndDestroy();
    expect((await transfer.received).reason).toBe('reset');
    expect(fill.cuts).toBe(1); // nobody else follows it, before anybody hears of the end
    expect((await transfer.delivered).reason).toBe('reset');
    await until('the fill is ended', () => fill.ends.length > 0);
    expect(fill.ends).toEqual([{ received: MIB, whole: false, stored: MIB }]);
  });

  test.each(['lost', 'abort'] as const)('%s before the file is open', async (what) => {
    const fill = fills.fill(MIB);
    let open = (): void => undefined;
    fill.gate = () => new Promise<void>((resolve) => (open = resolve));
    const transfer = relay(length(MIB), length(MIB), { fill });
    transfer[what]();
    open();
    const reason = what === 'lost' ? 'unwanted' : 'aborted';
    expect((await transfer.received).reason).toBe(reason);
    expect((await transfer.delivered).reason).toBe(what === 'lost' ? 'reset' : 'aborted');
    expect(fill.ends).toEqual([{ received: 0, whole: false, stored: 0 }]);
    expect(bodies).toBe(0);
  });
});

describe('chunked', () => {
  test('long chunks go by the kernel, what is between them does not', async () => {
    const content = bytesOf(3 * MIB);
    const sent = chunked(content, [MIB, 100, KERNEL_BYTES, 500 * KIB], 'A: b\r\n');
    source.far.write(Buffer.concat([sent, latin1('next')]));
    const transfer = relay({ kind: 'chunked' }, CHUNKED);
    const arrived = decode(CHUNKED, await received(transfer));
    isSame(arrived.content, content);
    expect(arrived).toMatchObject({ whole: true, behind: 0 });
    expect(arrived.trailers.get('a')).toBe('b');
    const end = await transfer.received;
    expect(end).toMatchObject({ reason: 'complete', bytes: content.length });
    expect(end.trailers.get('a')).toBe('b');
    expect(bodies).toBeGreaterThan(2);
  });

  test('the source ends within a long chunk', async () => {
    source.far.end(chunked(bytesOf(MIB), [MIB]).subarray(0, MIB / 2));
    const transfer = relay({ kind: 'chunked' }, CHUNKED);
    client.far.resume();
    expect((await transfer.received).reason).toBe('short');
    expect((await transfer.delivered).reason).toBe('short');
    expect(bodies).toBe(1);
  });

  test('the source is reset behind a long chunk', async () => {
    source.far.write(chunked(bytesOf(MIB), [MIB]).subarray(0, -5));
    const transfer = relay({ kind: 'chunked' }, CHUNKED);
    await readBytes(client.far, MIB);
    source.far.resetAndDestroy();
    client.far.resume();
    expect((await transfer.received).reason).toBe('reset');
    expect((await transfer.delivered).reason).toBe('reset');
  });

  test('what follows a long chunk is malformed', async () => {
    source.far.write(Buffer.concat([chunked(bytesOf(MIB), [MIB]).subarray(0, -5), latin1('oops')]));
    const transfer = relay({ kind: 'chunked' }, CHUNKED);
    client.far.resume();
    expect((await transfer.received).reason).toBe('refused');
    expect((await transfer.delivered).reason).toBe('refused');
  });

  test('the client is reset within a long chunk', async () => {
    source.far.write(chunked(bytesOf(BULK), [BULK]));
    const transfer = relay({ kind: 'chunked' }, CHUNKED);
    await readBytes(client.far, 100);
    client.far.resetAndDestroy();
    expect((await transfer.delivered).reason).toBe('reset');
    expect((await transfer.received).reason).toBe('unwanted');
  });
});

describe('until the connection closes', () => {
  test('goes by the kernel once it has turned out to be long', async () => {
    const content = bytesOf(BULK);
    source.far.end(content);
    const transfer = relay({ kind: 'close' }, UNTIL_CLOSE);
    isSame(await received(transfer), content);
    expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: BULK });
    expect(await transfer.delivered).toMatchObject({ reason: 'complete', bytes: BULK });
    expect(bodies).toBe(1);
  });

  test('a reset is not its end', async () => {
    source.far.write(bytesOf(MIB));
    const transfer = relay({ kind: 'close' }, UNTIL_CLOSE);
    await readBytes(client.far, MIB + HEAD.length);
    expect(bodies).toBe(1);
    source.far.resetAndDestroy();
    expect((await transfer.received).reason).toBe('reset');
    expect((await transfer.delivered).reason).toBe('reset');
  });
});

test('no descriptor is left', async () => {
  const count = await settled(() => descriptors().sockets);
  for (let i = 0; i < 20; i++) {
    source = await wires.wire();
    client = await wires.wire();
    client.wire.owner = receiver;
    source.far.write(bytesOf(MIB));
    const transfer = relay(length(MIB), length(MIB), { fill: fills.fill(MIB) });
    await received(transfer);
    source.wire.close(false);
    source.far.destroy();
    client.far.destroy();
  }
  await until('all are closed', () => descriptors().sockets <= count);
});

test('what arrives is what was sent, whoever moved it', async () => {
  const kinds = ['length', 'chunked', 'close'] as const;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        size: fc.integer({ min: 0, max: 2 * MIB }),
        from: fc.constantFrom(...kinds),
        to: fc.constantFrom(...kinds),
        chunks: fc.array(fc.integer({ min: 1, max: 300 * KIB }), { minLength: 1, maxLength: 5 }),
        early: fc.nat({ max: 10_000 }),
        stored: fc.boolean(),
        lazy: fc.boolean(),
      }),
      async (way) => {
        source = await wires.wire();
        client = await wires.wire();
        client.wire.owner = receiver;
        const content = bytesOf(way.size);
        const from: Incoming['framing'] = way.from === 'length' ? length(way.size) : { kind: way.from };
        const to: Framing = way.to === 'length' ? length(way.size) : { kind: way.to };
        const sent = way.from === 'chunked' ? chunked(content, way.chunks) : content;
        const rest = sent.subarray(0, way.early);
        const fill = way.stored ? fills.fill(way.from === 'length' ? way.size : undefined) : undefined;
        source.far.write(sent.subarray(rest.length));
        if (way.from === 'close') source.far.end();
        const transfer = relay(from, to, { in: { rest: Buffer.from(rest) }, ...(fill && { fill }) });
        if (way.lazy && fill !== undefined) await transfer.received;
        const arrived = decode(to, await received(transfer));
        expect(await transfer.received).toMatchObject({ reason: 'complete', bytes: way.size });
        expect(await transfer.delivered).toMatchObject({ reason: 'complete', bytes: way.size });
        isSame(arrived.content, content);
        expect(arrived.whole).toBe(true);
        if (fill === undefined) return;
        await until('the fill is ended', () => fill.ends.length > 0);
        isSame(fill.content, content);
      },
    ),
    { numRuns: 60 },
  );
}, 600_000);
