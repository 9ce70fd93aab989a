/**
 * Whatever clients and origins do: nothing is left behind, and no client is ever given anything but answers to its own
 * requests, in order, the last one perhaps cut, and then not so that it looks whole.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { front, get, request, type Front, type Peer } from './front-bed.js';

/** What an origin does with one request; all of them are derived from its path, so that answers can be checked. */
type Act =
  | {
      readonly kind: 'answer';
      readonly size: number;
      readonly framing: 'length' | 'chunked' | 'close';
      readonly stored: boolean;
    }
  | {
      readonly kind: 'cut';
      readonly size: number;
      readonly at: number;
      readonly framing: 'length' | 'chunked';
      readonly reset: boolean;
    }
  | { readonly kind: 'excess'; readonly size: number }
  | { readonly kind: 'garbage'; readonly bytes: string }
  | { readonly kind: 'end' | 'reset' | 'silence' };

type Move =
  | {
      readonly kind: 'ask';
      readonly path: number;
      readonly method: 'GET' | 'HEAD' | 'POST';
      readonly content: number;
      readonly close: boolean;
    }
  | { readonly kind: 'half'; readonly path: number }
  | { readonly kind: 'turn' }
  | { readonly kind: 'wait' }
  | { readonly kind: 'end' | 'reset' };

const PATHS = 5;
const SIZES = [0, 1, 100, 20_000, 100_000, 600_000];

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      size: fc.constantFrom(...SIZES),
      framing: fc.constantFrom('length' as const, 'chunked' as const, 'close' as const),
      stored: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cut' as const),
      size: fc.constantFrom(...SIZES.slice(1)),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      framing: fc.constantFrom('length' as const, 'chunked' as const),
      reset: fc.boolean(),
    }),
  },
  fc.record({ kind: fc.constant('excess' as const), size: fc.constantFrom(...SIZES) }),
  fc.record({ kind: fc.constant('garbage' as const), bytes: fc.string({ minLength: 1, maxLength: 60 }) }),
  fc.record({ kind: fc.constantFrom('end' as const, 'reset' as const, 'silence' as const) }),
);

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('ask' as const),
      path: fc.nat(PATHS - 1),
      method: fc.constantFrom('GET' as const, 'GET' as const, 'HEAD' as const, 'POST' as const),
      content: fc.constantFrom(0, 10, 100_000),
      close: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('half' as const), path: fc.nat(PATHS - 1) }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'turn' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'wait' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('end' as const, 'reset' as const) }) },
);

/** Content of a path: each place of it says which path it is. */
function contentOf(path: string, size: number): string {
  const line = `${path} `;
  return line.repeat(Math.ceil(size / line.length)).slice(0, size);
}

/** Answers whatever comes on one connection, each request as the next act says. */
async function play(origin: Peer, acts: () => Act): Promise<void> {
  try {
    for (;;) {
      const head = await origin.head();
      const path = head.split(' ')[1] ?? '';
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const next = acts();
      // An origin may answer before it has read all.
      if (next.kind === 'answer') await origin.bytes(length);
      const isHead = head.startsWith('HEAD ');
      if (!perform(origin, next, path, isHead)) return;
    }
  } catch {
    // The front has closed it.
  }
}

/** False: the connection is over. */
function perform(origin: Peer, act: Act, path: string, isHead: boolean): boolean {
  switch (act.kind) {
    case 'answer': {
      const content = contentOf(path, act.size);
      const cache = act.stored ? 'Cache-Control: max-age=1000' : 'Cache-Control: no-store';
      const framing =
        act.framing === 'length'
          ? `Content-Length: ${content.length}\r\n`
          : act.framing === 'chunked'
            ? 'Transfer-Encoding: chunked\r\n'
            : 'Connection: close\r\n';
      origin.write(`HTTP/1.1 200 OK\r\nX-Path: ${path}\r\n${cache}\r\n${framing}\r\n`);
      if (!isHead) {
        if (act.framing === 'chunked') writeChunks(origin, content, true);
        else origin.write(content);
      }
      if (act.framing === 'close') origin.end();
      return act.framing !== 'close';
    }
    case 'cut': {
      const content = contentOf(path, act.size).slice(0, Math.floor(act.at * act.size));
      const framing = act.framing === 'length' ? `Content-Length: ${act.size}` : 'Transfer-Encoding: chunked';
      origin.write(`HTTP/1.1 200 OK\r\nX-Path: ${path}\r\nCache-Control: max-age=1000\r\n${framing}\r\n\r\n`);
      if (act.framing === 'chunked') writeChunks(origin, content, false);
      else origin.write(content);
      if (act.reset) origin.reset();
      else origin.end();
      return false;
    }
    case 'excess':
      origin.write(
        `HTTP/1.1 200 OK\r\nX-Path: ${path}\r\nContent-Length: ${act.size}\r\n\r\n${contentOf(path, act.size)}` +
          'HTTP/1.1 200 OK\r\nX-Path: poison\r\nContent-Length: 6\r\n\r\npoison',
      );
      return true;
    case 'garbage':
      origin.write(`${act.bytes}\r\n\r\n`);
      return true;
    case 'end':
      origin.end();
      return false;
    case 'reset':
      origin.reset();
      return false;
    case 'silence':
      return true;
  }
}

function writeChunks(origin: Peer, content: string, whole: boolean): void {
  for (let at = 0; at < content.length; at += 7000) {
    const piece = content.slice(at, at + 7000);
    origin.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  }
  if (whole) origin.write('0\r\n\r\n');
}

/** What was asked on one connection, in order. */
interface Asked {
  readonly path: string;
  readonly head: boolean;
}

/** Reads what a client got as the answers to what it asked; throws where it is anything else. */
function check(text: string, asked: readonly Asked[]): void {
  let at = 0;
  let nth = 0;
  while (at < text.length) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return; // cut within a head
    const head = text.slice(at, end + 2);
    at = end + 4;
    const status = Number(head.split(' ')[1]);
    if (status < 200) continue;
    const one = asked[nth++];
    if (one === undefined) throw new Error(`an answer too many: ${head}`);
    const path = /\r\nX-Path: (\S+)/.exec(head)?.[1];
    if (status === 200) expect(path).toBe(one.path);
    else expect([400, 408, 502, 503, 504]).toContain(status);
    if (one.head) continue;
    const length = /\r\nContent-Length: (\d+)/i.exec(head)?.[1];
    let content: string;
    if (length !== undefined) {
      content = text.slice(at, at + Number(length));
      at += Number(length);
    } else {
      expect(head).toMatch(/transfer-encoding: chunked/i);
      content = '';
      for (;;) {
        const line = text.indexOf('\r\n', at);
        if (line < 0) return void (status === 200 && expect(contentOf(one.path, content.length)).toBe(content));
        const size = parseInt(text.slice(at, line), 16);
        content += text.slice(line + 2, line + 2 + size);
        at = line + 2 + size + 2;
        if (size === 0) break;
      }
      // Ended by its last chunk: it must be one that an origin had ended so, and those have one of the sizes.
      expect(SIZES).toContain(content.length);
    }
    if (status === 200) expect(contentOf(one.path, content.length)).toBe(content);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function drive(bed: Front, moves: readonly Move[], name: string): Promise<{ peer: Peer; asked: Asked[] }> {
  const peer = await bed.client();
  const asked: Asked[] = [];
  for (const each of moves) {
    if (peer.broken !== undefined) break;
    switch (each.kind) {
      case 'ask': {
        const path = `/${name}${each.path}`;
        const length = each.method === 'POST' ? [`Content-Length: ${each.content}`] : [];
        const close = each.close ? ['Connection: close'] : [];
        const said = each.method === 'GET' ? get(path, ...close) : request(each.method, path, ...length, ...close);
        peer.write(said + (each.method === 'POST' ? 'c'.repeat(each.content) : ''));
        asked.push({ path, head: each.method === 'HEAD' });
        break;
      }
      case 'half':
        // The rest never comes: so nothing that follows is a request of its own.
        peer.write(`GET /${name}${each.path} HT`);
        asked.push({ path: '', head: false });
        return { peer, asked };
      case 'turn':
        await turn();
        break;
      case 'wait': {
        const before = peer.text.length;
        for (let i = 0; i < 20 && peer.text.length === before && !peer.over; i++) await turn();
        break;
      }
      case 'end':
        peer.end();
        return { peer, asked };
      case 'reset':
        peer.reset();
        return { peer, asked };
    }
  }
  return { peer, asked };
}

test('any clients, any origin', async () => {
  const bed = await front({ responseTimeout: '300ms', originTimeout: '300ms', headTimeout: '5s' });
  let acts: readonly Act[] = [];
  let turnOf = 0;
  const origins: Peer[] = [];
  const next = (): Act => acts[turnOf++ % acts.length]!;
  let serving = true;
  const serve = async (): Promise<void> => {
    while (serving) {
      const origin = await bed.origin();
      origins.push(origin);
      void play(origin, next);
    }
  };
  void serve();
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { minLength: 1, maxLength: 6 }),
      fc.array(fc.array(move, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
      async (some, clients) => {
        acts = some;
        turnOf = 0;
        // Paths of one round are nobody else's: what an earlier one has stored is not known here.
        const name = `r${round++}-`;
        const played = await Promise.all(clients.map((moves) => drive(bed, moves, name)));
        await bed.resting();
        for (const { peer, asked } of played) check(peer.text, asked);
        for (const { peer } of played) peer.socket.destroy();
        await bed.done();
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 60) },
  );
  serving = false;
  for (const { socket } of origins) socket.destroy();
}, 600_000);
