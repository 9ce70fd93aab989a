/** A tunnel that has to wait until an earlier answer has gone out: either side may go meanwhile. No sockets. */
import { expect, test, vi } from 'vitest';
import { RequestParser } from '../../../src/http/head-parser.js';
import { Fields, HTTP_1_1 } from '../../../src/http/head.js';
import type { ProxyContext } from '../../../src/proxy/context.js';
import { Exchange, type ClientSide } from '../../../src/proxy/exchange.js';
import type { Arrived } from '../../../src/proxy/fetch.js';
import type { OriginConnection } from '../../../src/proxy/origin.js';
import type { Site } from '../../../src/proxy/site.js';
import { clientLeft, shutDown } from '../../../src/proxy/teardown.js';
import { upgrade } from '../../../src/proxy/tunnel.js';
import { MemoryWire, latin1 } from './body-bed.js';
import { get } from './front-bed.js';

const trust = (): boolean => false;

function pending() {
  const wire = new MemoryWire();
  wire.window = 0;
  wire.send(latin1('an earlier answer'));
  const parsed = new RequestParser().receive(latin1(get('/', 'Upgrade: x', 'Connection: Upgrade')));
  if (parsed.kind !== 'head') throw new Error('no head');
  const outcomes: string[] = [];
  const client: ClientSide = {
    wire,
    hasSent: false,
    takeRest: () => new Uint8Array(0),
    next: () => outcomes.push('sent'),
    cut: () => outcomes.push('cut'),
    handOver: () => ({ vacate: () => undefined }),
  };
  const site = { via: undefined, forwarded: { trust } } as unknown as Site;
  const exchange = new Exchange(site, client, wire, 'http', parsed);
  const context = {
    exchanges: new Set([exchange]),
    tunnels: new Set(),
    draining: false,
    desk: undefined,
    access: { request: vi.fn() },
    onLeave: vi.fn(),
  } as unknown as ProxyContext;
  const discard = vi.fn();
  const originWire = new MemoryWire();
  const connection: OriginConnection = { wire: originWire, used: false, release: vi.fn(), discard };
  exchange.origin = connection;
  const head = { status: 101, reason: '', version: HTTP_1_1, fields: Fields.from([['Upgrade', 'x']]) };
  upgrade(context, exchange, { head, connection, rest: new Uint8Array(0), responseTime: 0 } as unknown as Arrived);
  expect(context.exchanges.size).toBe(1);
  expect(wire.text).toBe('');
  return { wire, exchange, context, discard, originWire, outcomes };
}

test.each([
  ['the client goes', clientLeft],
  ['the server stops', shutDown],
])('%s', (_name, end) => {
  const { context, exchange, discard } = pending();
  end(context, exchange);
  expect(context.exchanges.size).toBe(0);
  expect(discard).toHaveBeenCalledOnce();
  expect(exchange.whenDrained).toBeUndefined();
});

test('the origin goes: the client is told, behind the earlier answer', () => {
  const { wire, context, exchange, originWire, outcomes } = pending();
  originWire.breaks(104);
  wire.takes(1000);
  const { whenDrained } = exchange;
  exchange.whenDrained = undefined;
  whenDrained?.();
  expect(wire.text).toMatch(/^an earlier answerHTTP\/1.1 502 /);
  expect(outcomes).toEqual(['sent']);
  expect(context.exchanges.size).toBe(0);
});
