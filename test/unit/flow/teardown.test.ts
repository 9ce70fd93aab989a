/** What stays of connections that were turned away, without sockets: a context of fakes. */
import { expect, test } from 'vitest';
import { Connection, type FlowContext } from '../../../src/flow/connection.js';
import { DeadlineQueue } from '../../../src/flow/deadlines.js';
import { fail } from '../../../src/flow/teardown.js';

test('who is turned away lingers, but not without bound: the oldest makes room', () => {
  const closed: number[] = [];
  const context = {
    host: { reactor: { linger: () => false }, own: () => undefined, close: (slot: number) => void closed.push(slot) },
    limits: { leave: () => undefined },
    metrics: { handshakeFailed: () => undefined },
    logger: { isLevelEnabled: () => false },
    handshaking: new DeadlineQueue<Connection>(1000),
    connecting: new DeadlineQueue<Connection>(1000),
    lingering: new DeadlineQueue<number>(1000),
    onLeave: () => undefined,
  } as unknown as FlowContext;
  for (let slot = 0; slot < 1000; slot++) {
    const client = { address: '192.0.2.1', port: 1000 + slot };
    fail(context, new Connection(slot, client, 'uncounted', undefined), 'unknown-protocol');
  }
  const left = [...context.lingering.entries()];
  expect(left).toHaveLength(256);
  expect([...closed, ...left]).toEqual(Array.from({ length: 1000 }, (_, slot) => slot));
});
