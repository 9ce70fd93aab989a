/**
 * Stage relay: a seat stands for two descriptors, and a flow that the packet backend has released holds none. Its seat
 * goes to the next client. Called by the server's sweep.
 */
import type { FlowContext } from './connection.js';

/** Milliseconds between two looks at a flow. */
export const SEAT_LOOK_MS = 500;

export function vacateSeats(context: FlowContext, now: number): void {
  const { seated } = context;
  if (seated === undefined) return;
  for (const connection of [...seated.expired(now)]) {
    if (connection.flow?.packet()?.phase !== 'released') {
      seated.add(connection);
      continue;
    }
    connection.vacated = true;
    context.limits.vacate();
  }
}
