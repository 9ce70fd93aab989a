/**
 * Stage relay: one message's content from whoever sends it to whoever gets it, and into the store on the way. The one
 * door for responses (origin to client) and requests (client to origin, without a fill). What is long and of known
 * length goes into the store by the kernel; all else through copied-body.ts, which calls the kernel for long stretches.
 */
import { KERNEL_BYTES, type Movers } from './body-movers.js';
import type { Incoming, Outgoing, Transfer } from './body.js';
import { CopiedBody, type Finishes } from './copied-body.js';
import type { LiveFill } from './desk.js';
import { TappedBody } from './tapped-body.js';

/**
 * @param to undefined: nobody but the fill gets it; without a fill too, it is thrown away
 * @param fill ended by this, whatever happens
 * @param finishes asked when the client is lost and nobody else is answered from the fill: whether it is worth going on
 */
export function relayBody(
  movers: Movers,
  from: Incoming,
  to: Outgoing | undefined,
  fill: LiveFill | undefined,
  finishes: Finishes,
): Transfer {
  const length = fill === undefined ? undefined : tappable(from, to);
  if (fill !== undefined && length !== undefined)
    return new TappedBody(movers, from, length, to, fill, finishes).begin();
  return new CopiedBody(movers, from, to, fill, finishes).begin();
}

/** Reads content away that nobody gets, so that its connection can be used again; `too-large` when there is more. */
export function discardBody(movers: Movers, from: Incoming, mostBytes: number): Transfer {
  const bounded = { ...from, maxBytes: Math.min(from.maxBytes, mostBytes) };
  return new CopiedBody(movers, bounded, undefined, undefined, () => false).begin();
}

/** Its length where the kernel can move it all, and it is worth that. */
function tappable({ wire, framing, rest, maxBytes }: Incoming, to: Outgoing | undefined): number | undefined {
  if (framing.kind !== 'length' || framing.length > maxBytes || wire.descriptor === undefined) return undefined;
  if (framing.length - rest.length <= KERNEL_BYTES) return undefined;
  if (to === undefined) return framing.length;
  if (to.wire.descriptor === undefined || to.framing.kind === 'none') return undefined;
  return to.framing.kind === 'length' && to.framing.length !== framing.length ? undefined : framing.length;
}
