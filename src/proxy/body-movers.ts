/** Stage relay: what all who move content share, and the sizes by which they decide. */
import type { Tap } from '../engine/tap.js';
import type { TapEnd } from '../native.js';
import type { BodyClock } from './body-clock.js';
import type { BodyReason } from './body.js';

export interface Movers {
  readonly tap: Pick<Tap, 'relayBody' | 'sendFile'>;
  readonly clock: BodyClock;
}

/**
 * Bytes still to come beyond which the kernel moves them from wire to wire. Measured on loopback: waking its threads
 * costs as much processor time as copying 64 to 96 KiB in pieces of 16 KiB.
 */
export const KERNEL_BYTES = 64 * 1024;

/** Bytes of a file beyond which the kernel sends them: reading them would go through a thread as well. */
export const SENDFILE_BYTES = 32 * 1024;

/** Unsent bytes of a receiver that is slow; beyond them its source waits, or it is served from the store. */
export const SLOW_BYTES = 256 * 1024;

/** Bytes on their way to the store; beyond them the source waits for the disk. */
export const FILLING_BYTES = 1024 * 1024;

/** Bytes read of a file at a time, where they have to pass through here. */
export const READ_BYTES = 64 * 1024;

export const NOTHING: Uint8Array = new Uint8Array(0);

/** How a part of a tapped body ended, in the words of bodies. */
export function reasonOf(end: TapEnd): BodyReason {
  return end === 'error' ? 'store' : end;
}
