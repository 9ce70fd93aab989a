/** Answers of the cache: from memory, from files, from fills that are under way, whole and in ranges. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { makeMultipart } from '../../../src/cache/multipart.js';
import type { AnswerBody } from '../../../src/cache/respond.js';
import { CHUNKED, NO_BODY, type Framing } from '../../../src/http/framing.js';
import type { BodyEnd, SendTransfer } from '../../../src/proxy/body.js';
import type { StoredBody } from '../../../src/proxy/desk.js';
import { sendStored } from '../../../src/proxy/stored-body.js';
import type { Wire } from '../../../src/proxy/wire.js';
import { bytesOf, readAll, readBytes, until } from '../../support/flow-bed.js';
import {
  FakeFillBed,
  HEAD,
  MemoryWire,
  Receiver,
  WireBed,
  decode,
  latin1,
  length,
  makeMovers,
  outgoing,
  type FakeFill,
  type RealMovers,
  type RealWire,
} from './body-bed.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const BULK = 24 * MIB;

let movers: RealMovers;
let files: FakeFillBed;
let wires: WireBed;
let real: RealWire;
let memory: MemoryWire;
let receiver: Receiver;
const release = vi.fn();

beforeAll(() => {
  movers = makeMovers();
});
afterAll(() => movers.stop());
beforeEach(async () => {
  files = new FakeFillBed();
  wires = new WireBed();
  real = await wires.wire();
  memory = new MemoryWire();
  receiver = new Receiver();
  real.wire.owner = receiver;
  memory.owner = receiver;
  release.mockReset();
});
afterEach(() => {
  wires.dispose();
  files.dispose();
  expect(movers.clock.size).toBe(0);
});

const isSame = (a: Buffer, b: Buffer): void => expect(a.equals(b)).toBe(true);
const span = (first: number, end: number): AnswerBody & { kind: 'span' } => ({ kind: 'span', span: { first, end } });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function multipart(total: number, ...spans: [number, number][]): AnswerBody & { kind: 'multipart' } {
  const {
    parts,
    closing,
    length: bytes,
  } = makeMultipart(
    spans.map(([first, end]) => ({ first, end })),
    total,
    'text/plain',
    'boundary',
  );
  return { kind: 'multipart', parts, closing, length: bytes };
}

function framingOf(body: AnswerBody): Framing {
  if (body.kind === 'none') return NO_BODY;
  if (body.kind === 'multipart') return length(body.length);
  return body.span.end === Infinity ? CHUNKED : length(body.span.end - body.span.first);
}

/** What the client ought to get of `content`. */
function expected(body: AnswerBody, content: Buffer): Buffer {
  if (body.kind === 'none') return Buffer.alloc(0);
  if (body.kind === 'span') return content.subarray(body.span.first, body.span.end);
  const parts = body.parts.flatMap((part) => [latin1(part.preamble), content.subarray(part.span.first, part.span.end)]);
  return Buffer.concat([...parts, latin1(body.closing)]);
}

function send(wire: Wire, body: AnswerBody, stored: StoredBody, framing = framingOf(body)): BodyEnd | SendTransfer {
  const sent = sendStored(movers, outgoing(wire, framing), body, stored);
  if ('delivered' in sent) receiver.transfer = sent;
  return sent;
}

function later(wire: Wire, body: AnswerBody, stored: StoredBody, framing = framingOf(body)): SendTransfer {
  const sent = send(wire, body, stored, framing);
  if ('reason' in sent) throw new Error('its end is known at once');
  return sent;
}

/** Behind the head, up to our FIN. */
async function received(sent: SendTransfer): Promise<Buffer> {
  const all = readAll(real.far);
  await sent.delivered;
  if (real.wire.unsent > 0) await until('it has drained', () => real.wire.unsent === 0);
  real.wire.finish();
  const bytes = await all;
  isSame(bytes.subarray(0, HEAD.length), HEAD);
  return bytes.subarray(HEAD.length);
}

const whole = span(0, 3 * MIB);
const range = span(1000, MIB + 17);
const small = span(5, 105);
const several = multipart(3 * MIB, [2 * MIB, 3 * MIB], [0, 10], [500_000, 1_500_000]);

describe('from memory: one send, and its end is known', () => {
  const content = bytesOf(5000);
  const stored: StoredBody = { kind: 'memory', bytes: content };
  test.each([span(0, 5000), span(10, 20), span(0, 0), multipart(5000, [0, 10], [4000, 5000])])('%o', (body) => {
    const sent = send(memory, body, stored);
    const wanted = expected(body, content);
    expect(sent).toEqual({ reason: 'complete', errno: 0, bytes: wanted.length });
    expect(memory.sends).toBe(1);
    isSame(Buffer.concat(memory.got), Buffer.concat([HEAD, wanted]));
  });

  test('in chunks', () => {
    expect(send(memory, span(0, 5000), stored, CHUNKED)).toMatchObject({ reason: 'complete', bytes: 5000 });
    const { content: arrived, whole: ended } = decode(CHUNKED, Buffer.concat(memory.got).subarray(HEAD.length));
    isSame(arrived, content);
    expect(ended).toBe(true);
  });

  test('of another length than was said: nothing is sent', () => {
    expect(send(memory, span(0, 5000), { kind: 'memory', bytes: content.subarray(1) }, length(5000))).toMatchObject({
      reason: 'store',
    });
    expect(memory.sends).toBe(0);
  });
});

test('the head is all: HEAD, 304', () => {
  const fd = files.open(bytesOf(100));
  const stored: StoredBody = { kind: 'file', fd, release };
  expect(send(memory, span(0, 100), stored, NO_BODY)).toMatchObject({ reason: 'complete', bytes: 0 });
  expect(send(memory, { kind: 'none' }, stored)).toMatchObject({ reason: 'complete', bytes: 0 });
  expect(release).toHaveBeenCalledTimes(2);
  expect(memory.text).toBe(HEAD.toString('latin1').repeat(2));
});

describe('from a file', () => {
  const content = bytesOf(3 * MIB);
  const open = (bytes = content): StoredBody => ({ kind: 'file', fd: files.open(bytes), release });

  test.each([whole, range, small, several])('by the kernel: %o', async (body) => {
    const sent = later(real.wire, body, open());
    const wanted = expected(body, content);
    isSame(await received(sent), wanted);
    expect(await sent.delivered).toEqual({ reason: 'complete', errno: 0, bytes: wanted.length });
    expect(release).toHaveBeenCalledOnce();
  });

  test.each([whole, range, small, several])('without a descriptor, at the pace of the client: %o', async (body) => {
    memory.window = 0;
    const sent = later(memory, body, open());
    const wanted = expected(body, content);
    while (sent.deliveredEnd === undefined) {
      expect(memory.unsent).toBeLessThan(512 * KIB);
      memory.takes(100 * KIB);
      await turn();
    }
    memory.takes(Infinity);
    isSame(Buffer.concat(memory.got), Buffer.concat([HEAD, wanted]));
    expect(await sent.delivered).toEqual({ reason: 'complete', errno: 0, bytes: wanted.length });
    expect(release).toHaveBeenCalledOnce();
  });

  test('an empty one', async () => {
    const sent = later(real.wire, span(0, 0), open());
    expect((await received(sent)).length).toBe(0);
    expect((await sent.delivered).reason).toBe('complete');
  });

  test('in chunks', async () => {
    const sent = later(real.wire, whole, open(), CHUNKED);
    const arrived = decode(CHUNKED, await received(sent));
    isSame(arrived.content, content);
    expect(arrived.whole).toBe(true);
  });

  test('waits until what was unsent before has gone', async () => {
    const ahead = bytesOf(BULK);
    real.wire.send(ahead);
    const sent = later(real.wire, whole, open());
    isSame(await readBytes(real.far, BULK), ahead);
    isSame(await received(sent), content);
  });

  test.each(['real', 'memory'] as const)('that is shorter than it was: %s', async (where) => {
    const sent = later(where === 'real' ? real.wire : memory, whole, open(content.subarray(0, MIB)));
    real.far.resume();
    expect(await sent.delivered).toMatchObject({ reason: 'store', bytes: MIB });
    expect(release).toHaveBeenCalledOnce();
  });

  test.each(['lost', 'abort'] as const)('%s: it is given back, once', async (what) => {
    const bulk = bytesOf(BULK);
    const fast = later(real.wire, span(0, BULK), open(bulk));
    fast[what]();
    fast[what]();
    expect((await fast.delivered).reason).toBe(what === 'lost' ? 'reset' : 'aborted');
    expect(release).toHaveBeenCalledOnce();
    memory.window = 0;
    const slow = later(memory, span(0, BULK), open(bulk));
    await until('it is under way', () => memory.unsent > 0);
    slow[what]();
    expect((await slow.delivered).reason).toBe(what === 'lost' ? 'reset' : 'aborted');
    expect(release).toHaveBeenCalledTimes(2);
  });

  test('the client is reset', async () => {
    const sent = later(real.wire, span(0, BULK), open(bytesOf(BULK)));
    await readBytes(real.far, 100);
    real.far.resetAndDestroy();
    expect((await sent.delivered).reason).toBe('reset');
    expect(release).toHaveBeenCalledOnce();
  });

  test('the client takes nothing', async () => {
    memory.window = 0;
    const sent = sendStored(
      movers,
      outgoing(memory, length(3 * MIB), { idleTimeout: 100 }),
      whole,
      open(),
    ) as SendTransfer;
    await until('it is given up', () => sent.deliveredEnd !== undefined);
    expect(sent.deliveredEnd?.reason).toBe('idle');
    const toSocket = sendStored(
      movers,
      outgoing(real.wire, length(BULK), { idleTimeout: 200 }),
      span(0, BULK),
      open(bytesOf(BULK)),
    ) as SendTransfer;
    expect((await toSocket.delivered).reason).toBe('idle');
  });

  test('the client was gone before', async () => {
    memory.open = false;
    const sent = later(memory, whole, open());
    expect((await sent.delivered).reason).toBe('reset');
    expect(release).toHaveBeenCalledOnce();
  });
});

describe('while it is being filled, by writes', () => {
  const content = bytesOf(MIB);
  async function fillUp(fill: FakeFill, upTo = content.length): Promise<void> {
    for (let at = 0; at < upTo; at += 100_000) {
      await fill.write(content.subarray(at, Math.min(upTo, at + 100_000)));
      await turn();
    }
  }

  test.each([span(0, MIB), span(150_000, 350_000), multipart(MIB, [900_000, MIB], [0, 5])])('%o', async (body) => {
    const fill = files.fill(MIB);
    const first = later(real.wire, body, { kind: 'live', fill });
    const second = sendStored(movers, outgoing(memory, framingOf(body)), body, { kind: 'live', fill }) as SendTransfer;
    await fillUp(fill);
    void fill.end(MIB, true);
    const wanted = expected(body, content);
    isSame(await received(first), wanted);
    expect(await second.delivered).toMatchObject({ reason: 'complete', bytes: wanted.length });
    isSame(Buffer.concat(memory.got), Buffer.concat([HEAD, wanted]));
    expect(fill.followers).toBe(0);
  });

  test('nobody knows how long it will be', async () => {
    const fill = files.fill();
    const sent = later(real.wire, span(0, Infinity), { kind: 'live', fill });
    await fillUp(fill);
    void fill.end(MIB, true);
    const arrived = decode(CHUNKED, await received(sent));
    isSame(arrived.content, content);
    expect(arrived.whole).toBe(true);
  });

  test('it fails: what was cut does not look whole', async () => {
    const fill = files.fill();
    const sent = later(memory, span(0, Infinity), { kind: 'live', fill });
    await fillUp(fill, 300_000);
    void fill.end(300_000, false);
    expect(await sent.delivered).toMatchObject({ reason: 'store', bytes: 300_000 });
    expect(decode(CHUNKED, Buffer.concat(memory.got).subarray(HEAD.length)).whole).toBe(false);
    expect(fill.followers).toBe(0);
  });

  test('it ends early', async () => {
    const fill = files.fill(MIB);
    const sent = later(memory, span(0, MIB), { kind: 'live', fill });
    await fillUp(fill, 300_000);
    void fill.end(300_000, true);
    expect((await sent.delivered).reason).toBe('store');
  });

  test('the client is lost while nothing comes', async () => {
    const fill = files.fill(MIB);
    const sent = later(memory, span(0, MIB), { kind: 'live', fill });
    await fillUp(fill, 100_000);
    sent.lost();
    expect(await sent.delivered).toMatchObject({ reason: 'reset', bytes: 100_000 });
    expect(fill.followers).toBe(0);
  });
});

describe('while it is being filled, by the kernel', () => {
  const content = bytesOf(3 * MIB);

  test.each([whole, range, several])('%o', async (body) => {
    const fill = files.fill(3 * MIB);
    const opening = fill.file();
    const sent = later(real.wire, body, { kind: 'live', fill });
    const all = received(sent);
    const { fd, growth } = (await opening)!;
    await grow(fd, growth, content);
    void fill.end(3 * MIB, true);
    isSame(await all, expected(body, content));
    expect((await sent.delivered).reason).toBe('complete');
    expect(fill.followers).toBe(0);
  });

  test('it fails', async () => {
    const fill = files.fill(3 * MIB);
    const opening = fill.file();
    const sent = later(real.wire, whole, { kind: 'live', fill });
    real.far.resume();
    const { fd, growth } = (await opening)!;
    await grow(fd, growth, content.subarray(0, MIB));
    void fill.end(MIB, false);
    expect(await sent.delivered).toMatchObject({ reason: 'store', bytes: MIB });
  });

  test('the disk does not take it', async () => {
    const fill = files.fill(3 * MIB);
    fill.room = 0;
    void fill.file();
    const sent = later(real.wire, whole, { kind: 'live', fill });
    expect((await sent.delivered).reason).toBe('store');
    expect(fill.followers).toBe(0);
  });
});

async function grow(fd: number, growth: { advance(filled: number): void }, content: Buffer): Promise<void> {
  const { writeSync } = await import('node:fs');
  for (let at = 0; at < content.length; at += 300_000) {
    const piece = content.subarray(at, at + 300_000);
    writeSync(fd, piece, 0, piece.length, at);
    growth.advance(at + piece.length);
    await turn();
  }
}

describe('a fill that fails before anything was sent', () => {
  test.each(['by the kernel', 'by copying', 'that had begun'])(
    '%s: not even the head goes out, unless it had begun',
    async (how) => {
      const fill = files.fill(100_000);
      if (how === 'by the kernel') await fill.file();
      const body = span(0, 100_000);
      const to = outgoing(how === 'by the kernel' ? real.wire : memory, framingOf(body));
      const transfer = sendStored(movers, to, body, { kind: 'live', fill }) as SendTransfer;
      if (how === 'that had begun') await fill.write(Buffer.alloc(10));
      await turn();
      await fill.end(0, false);
      const begun = how === 'that had begun';
      const end = await transfer.delivered;
      expect(end).toEqual({ reason: 'store', errno: 0, bytes: begun ? 10 : 0, ...(!begun && { untouched: true }) });
      expect([real.wire.unsent, memory.text.length > 0]).toEqual([0, begun]);
      expect(fill.followers).toBe(0);
    },
  );
});
