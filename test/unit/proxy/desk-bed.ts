/** A desk on a directory of its own, with origins and clients that are function calls. */
import { readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { decideRequest, decideResponse } from '../../../src/cache/decide.js';
import type { RequestDecision, ResponseDecision } from '../../../src/cache/decide.js';
import { DEFAULT_KEY_POLICY } from '../../../src/cache/key.js';
import { DEFAULT_POLICY } from '../../../src/cache/policy.js';
import type { Follower } from '../../../src/cache/store/fill-types.js';
import type { StoreLimits } from '../../../src/cache/store/types.js';
import type { StoredResponse } from '../../../src/cache/stored.js';
import type { RequestHead, ResponseHead } from '../../../src/http/head.js';
import { CacheDesk, type DeskOptions } from '../../../src/proxy/cache-desk.js';
import type { LiveFill } from '../../../src/proxy/desk.js';
import type { DeskEvent } from '../../../src/proxy/desk-events.js';
import type { RouteCache } from '../../../src/proxy/site.js';
import { get, response, URI, type Lines } from '../cache/build.js';
import { bytes } from '../cache/store-bed.js';

export { bytes, get, response, URI };

export const LIMITS: StoreLimits = { diskBytes: 64 * 1024 * 1024, inlineBytes: 1024, objectBytes: 16 * 1024 * 1024 };

export const CACHE: RouteCache = {
  policy: DEFAULT_POLICY,
  key: DEFAULT_KEY_POLICY,
  tagFields: ['Surrogate-Key'],
  bypass: () => false,
  finishes: () => true,
};

export interface Bed {
  readonly desk: CacheDesk;
  readonly events: DeskEvent[];
  /** How fills ended. */
  readonly ends: string[];
  /** Fills that began and have not ended. */
  open(): number;
}

export async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'desk-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function openDesk(
  directory: string | undefined,
  limits: Partial<StoreLimits> = {},
  options: Partial<DeskOptions> = {},
): Promise<Bed> {
  const events: DeskEvent[] = [];
  const ends: string[] = [];
  let begun = 0;
  const desk = await CacheDesk.open({
    directory,
    limits: { ...LIMITS, ...limits },
    onEvent: (event) => events.push(event),
    sink: { fillBegan: () => void begun++, fillEnded: (_, reason) => void ends.push(reason) },
    ...options,
  });
  onTestFinished(() => desk.close());
  return { desk, events, ends, open: () => begun - ends.length };
}

const boundary = (): string => 'boundary';

export interface Asked {
  readonly request?: RequestHead;
  readonly key?: string;
  readonly cache?: RouteCache;
  /** When the request was sent and when its answer came. **Default:** now. */
  readonly times?: { readonly requestTime: number; readonly responseTime: number };
}

/** What a client's request comes to now. */
export async function ask(desk: CacheDesk, asked: Asked = {}): Promise<RequestDecision> {
  const { request = get(), key = URI, cache = CACHE } = asked;
  const stored = desk.peek(key, cache.policy) ?? (await desk.lookup(key, cache.policy));
  return decideRequest({ request, uri: uriOf(key), key, stored, now: Date.now(), policy: cache.policy, boundary });
}

/** The request goes to the origin, which says this: what is to be done with it, after the changes were made. */
export async function answer(desk: CacheDesk, head: ResponseHead, asked: Asked = {}): Promise<ResponseDecision> {
  const { key = URI, cache = CACHE, times } = asked;
  const decision = await ask(desk, asked);
  if (decision.kind !== 'forward') throw new Error(`not forwarded: ${decision.kind}`);
  const now = Date.now();
  const decided = decideResponse({
    forward: decision.forward,
    uri: uriOf(key),
    key,
    response: head,
    times: times ?? { requestTime: now, responseTime: now },
    stored: await desk.lookup(key, cache.policy),
    policy: cache.policy,
    boundary,
  });
  desk.apply(key, decided.changes, cache);
  return decided;
}

/** A fill of what the origin says to a request. */
export async function fill(desk: CacheDesk, head: ResponseHead, asked: Asked = {}): Promise<LiveFill> {
  const { key = URI, cache = CACHE } = asked;
  const decided = await answer(desk, head, asked);
  const plan = decided.kind === 'relay' || decided.kind === 'join' ? decided.fill : undefined;
  const live = plan === undefined ? undefined : desk.begin(plan, key, cache);
  if (live === undefined) throw new Error('no fill');
  return live;
}

/** A 200 that is fresh for an hour, with that body. */
export function ok(length: number | undefined, lines: Lines = {}): ResponseHead {
  return response({
    'Cache-Control': 'max-age=3600',
    ETag: '"1"',
    ...(length !== undefined && { 'Content-Length': String(length) }),
    ...lines,
  });
}

/** Stores a response with that body. */
export async function store(desk: CacheDesk, body: Buffer, lines: Lines = {}, asked: Asked = {}): Promise<void> {
  const live = await fill(desk, ok(body.length, lines), asked);
  for (let at = 0; at < body.length; at += 5000) await live.write(body.subarray(at, at + 5000));
  await live.end(body.length, true);
}

export async function stored(desk: CacheDesk, key = URI): Promise<readonly StoredResponse[]> {
  return desk.lookup(key, CACHE.policy);
}

export async function only(desk: CacheDesk, key = URI): Promise<StoredResponse> {
  const found = await stored(desk, key);
  expect(found.length).toBe(1);
  return found[0] as StoredResponse;
}

/** The whole body of a stored response; undefined where it is gone. */
export async function bodyOf(desk: CacheDesk, from: StoredResponse): Promise<Buffer | undefined> {
  const body = await desk.body(from);
  switch (body?.kind) {
    case undefined:
      return undefined;
    case 'memory':
      return Buffer.from(body.bytes);
    case 'file': {
      const spans = from.record.extent.spans.map(({ first, end }) => readFd(body.fd, first, end));
      body.release();
      return Buffer.concat(spans);
    }
    case 'live': {
      const read = await follow(body.fill.follow());
      return read.whole ? read.bytes : undefined;
    }
  }
}

export function readFd(fd: number, start: number, end: number): Buffer {
  const buffer = Buffer.alloc(end - start);
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, start));
}

/** Reads along to the end. */
export async function follow(follower: Follower): Promise<{ bytes: Buffer; whole: boolean }> {
  const pieces: Buffer[] = [];
  try {
    for (;;) {
      const piece = await follower.next();
      switch (piece.kind) {
        case 'bytes':
          pieces.push(Buffer.from(piece.bytes));
          break;
        case 'file':
          pieces.push(readFd(piece.fd, piece.start, piece.end));
          break;
        case 'end':
        case 'failed':
          return { bytes: Buffer.concat(pieces), whole: piece.kind === 'end' };
      }
    }
  } finally {
    follower.close();
  }
}

function uriOf(key: string): string {
  return key.split(' ')[0] ?? key;
}
