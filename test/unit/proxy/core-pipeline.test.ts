/** A client that pipelines more than it reads, and reads in parts: its requests keep their order. No sockets. */
import { expect, test, vi } from 'vitest';
import { DeadlineQueue } from '../../../src/flow/deadlines.js';
import { ClientConnection } from '../../../src/proxy/client-connection.js';
import type { ProxyContext } from '../../../src/proxy/context.js';
import { MemoryWire, latin1 } from './body-bed.js';
import { request } from './front-bed.js';

const KB = 1024;

function connected() {
  const wire = new MemoryWire();
  const site = {
    heads: {},
    keepAlive: 1000,
    maxRequests: Infinity,
    maxRequestBytes: Infinity,
    requestIds: false,
    via: undefined,
    forwarded: { trust: () => false },
  };
  const leave = vi.fn();
  const context = {
    site,
    draining: false,
    desk: undefined,
    connections: new Set(),
    exchanges: new Set(),
    heads: new DeadlineQueue(1000),
    idle: new DeadlineQueue(1000),
    limits: { leave },
    access: { request: vi.fn() },
    onLeave: vi.fn(),
  } as unknown as ProxyContext;
  return { wire, context, leave, connection: new ClientConnection(context, wire, 'uncounted') };
}

/** Answered within the call, with itself: 10 KB that say which one it is. */
const trace = (n: number): Buffer =>
  latin1(request('TRACE', `/${n}`, 'Max-Forwards: 0', `X-Long: ${'x'.repeat(10 * KB)}`));

const paths = (text: string): number[] => [...text.matchAll(/\r\n\r\nTRACE \/(\d+) /g)].map(([, n]) => Number(n));

test('what comes while earlier requests wait does not overtake them', () => {
  const { wire, context } = connected();
  wire.window = 0;
  wire.says(Buffer.concat(Array.from({ length: 40 }, (_, n) => trace(n))));
  const held = wire.unsent;
  expect(held).toBeGreaterThan(256 * KB);
  expect(held).toBeLessThan(300 * KB);
  // Less is unsent now than what makes it wait, but what waited is still there.
  wire.takes(100 * KB);
  wire.says(trace(40));
  for (let i = 0; i < 20; i++) wire.takes(100 * KB);
  expect(paths(wire.text)).toEqual(Array.from({ length: 41 }, (_, n) => n));
  expect(wire.unsent).toBe(0);
  expect(context.exchanges.size).toBe(0);
  expect(context.idle.size).toBe(1);
});

test('an end behind requests that wait: all are answered, then it is over', () => {
  const { wire, context, leave } = connected();
  wire.window = 0;
  wire.says(Buffer.concat(Array.from({ length: 40 }, (_, n) => trace(n))));
  wire.ends();
  expect(context.connections.size).toBe(1);
  for (let i = 0; i < 20; i++) wire.takes(100 * KB);
  expect(paths(wire.text)).toHaveLength(40);
  expect(wire.open).toBe(false);
  expect(context.connections.size).toBe(0);
  expect(context.heads.size + context.idle.size).toBe(0);
  expect(leave).toHaveBeenCalledOnce();
});

test('a client that reads slowly is waited for, one that reads nothing is not', () => {
  const { wire, context, connection } = connected();
  wire.window = 0;
  wire.says(trace(0));
  connection.expired();
  expect(wire.open).toBe(true);
  wire.takes(KB);
  connection.expired();
  expect(wire.open).toBe(true);
  connection.expired();
  expect(wire.open).toBe(false);
  expect(context.connections.size).toBe(0);
});
