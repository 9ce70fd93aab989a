/** When an origin's connection may carry another request: only behind all of this one, and all of its answer. No sockets. */
import { expect, test, vi } from 'vitest';
import { RequestParser } from '../../../src/http/head-parser.js';
import { Fields, HTTP_1_0, HTTP_1_1, type Version } from '../../../src/http/head.js';
import type { BodyReason, Transfer } from '../../../src/proxy/body.js';
import type { ProxyContext } from '../../../src/proxy/context.js';
import { Exchange, type ClientSide } from '../../../src/proxy/exchange.js';
import type { Arrived } from '../../../src/proxy/fetch.js';
import { relay } from '../../../src/proxy/relay.js';
import type { Site } from '../../../src/proxy/site.js';
import { MemoryWire, latin1 } from './body-bed.js';
import { request } from './front-bed.js';

const NOTHING = new Uint8Array(0);

interface Case {
  /** How the request's content ended on either side; undefined: not yet. */
  readonly read?: BodyReason;
  readonly written?: BodyReason;
  readonly fields?: [string, string][];
  readonly version?: Version;
  readonly rest?: string;
  readonly excess?: boolean;
}

async function answered({ read, written, fields = [], version = HTTP_1_1, rest = '', excess = false }: Case) {
  const wire = new MemoryWire();
  const parsed = new RequestParser().receive(latin1(request('POST', '/', 'Content-Length: 4')));
  if (parsed.kind !== 'head') throw new Error('no head');
  const client = { wire, next: vi.fn(), cut: vi.fn() };
  const site = { via: undefined, forwarded: { trust: () => false } } as unknown as Site;
  const exchange = new Exchange(site, client as unknown as ClientSide, wire, 'http', parsed);
  exchange.keep = true;
  const end = (reason: BodyReason | undefined) =>
    reason && { reason, errno: 0, bytes: 4, leftover: NOTHING, trailers: Fields.EMPTY };
  const abort = vi.fn();
  exchange.upload = { receivedEnd: end(read), deliveredEnd: end(written), abort } as unknown as Transfer;
  const release = vi.fn();
  const discard = vi.fn();
  const connection = { wire: new MemoryWire(), used: false, release, discard };
  exchange.origin = connection;
  const context = {
    exchanges: new Set([exchange]),
    draining: false,
    desk: undefined,
    access: { request: vi.fn() },
    onLeave: vi.fn(),
  } as unknown as ProxyContext;
  const head = { status: 204, reason: '', version, fields: Fields.from(fields) };
  const arrived = {
    head,
    framing: { kind: 'none' },
    connection,
    rest: latin1(rest),
    reader: { excess },
    responseTime: 0,
  };
  await relay(context, exchange, arrived as unknown as Arrived, head, undefined, 'pass');
  expect(context.exchanges.size).toBe(0);
  expect(release.mock.calls.length + discard.mock.calls.length).toBe(1);
  return { used: release.mock.calls.length === 1, keep: exchange.keep, aborted: abort.mock.calls.length > 0 };
}

test('all of the request is written, and all of the answer read: it is used again', async () => {
  expect(await answered({ read: 'complete', written: 'complete' })).toMatchObject({ used: true, keep: true });
});

test.each<[string, Case, boolean]>([
  ['content that is still read', {}, false],
  ['content that has been read and is still written', { read: 'complete' }, true],
  ['content that the origin did not take', { read: 'unwanted', written: 'reset' }, false],
  ['content that its client did not end', { read: 'short', written: 'short' }, false],
  ['bytes behind the answer', { read: 'complete', written: 'complete', rest: 'more' }, true],
  ['bytes behind the answer, later', { read: 'complete', written: 'complete', excess: true }, true],
  ['Connection: close', { read: 'complete', written: 'complete', fields: [['Connection', 'Close']] }, true],
  ['HTTP/1.0', { read: 'complete', written: 'complete', version: HTTP_1_0 }, true],
])('%s: it is not', async (_name, given, keep) => {
  const { used, keep: kept, aborted } = await answered(given);
  expect(used).toBe(false);
  // The client's connection goes on where all of its content was read.
  expect(kept).toBe(keep);
  expect(aborted).toBe(true);
});
