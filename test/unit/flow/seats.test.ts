/** Seats of flows that the kernel carries alone go to the next client, once. */
import { expect, test } from 'vitest';
import { Connection, type FlowContext } from '../../../src/flow/connection.js';
import { DeadlineQueue } from '../../../src/flow/deadlines.js';
import { vacateSeats } from '../../../src/flow/seats.js';

test('a released flow gives its seat back; others are looked at again', () => {
  let vacated = 0;
  const seated = new DeadlineQueue<Connection>(100);
  const context = { seated, limits: { vacate: () => vacated++ } } as unknown as FlowContext;
  let phase = 'transit';
  const connection = new Connection(1, { address: '192.0.2.1', port: 1 }, 'uncounted', undefined);
  connection.flow = { packet: () => ({ phase }) } as unknown as NonNullable<Connection['flow']>;
  const young = new Connection(2, { address: '192.0.2.1', port: 2 }, 'uncounted', undefined);
  young.flow = { packet: () => undefined } as unknown as NonNullable<Connection['flow']>;
  for (const one of [connection, young]) seated.add(one);

  vacateSeats(context, performance.now());
  expect(seated.size).toBe(2);
  vacateSeats(context, performance.now() + 1000);
  expect([vacated, seated.size]).toEqual([0, 2]);
  phase = 'released';
  vacateSeats(context, performance.now() + 1000);
  vacateSeats(context, performance.now() + 1000);
  expect([vacated, connection.vacated, young.vacated]).toEqual([1, true, false]);
  expect([...seated.entries()]).toEqual([young]);
});
