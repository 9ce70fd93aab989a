/**
 * Backend `splice`: native threads move the bytes by splice(2), small transfers by copying.
 * Needs no privilege. The mover itself is addon/half.cc and addon/relay_thread.cc.
 */
import { CLOSE_REASON_NAMES, FLOW_STATE_NAMES } from '../abi.gen.js';
import { BOUNDED, REPORT_WORDS, native, type Relay, type RelaySettings } from '../native.js';
import type { Backend, Carrier, CarrierCounters, CarrierEnd, Handover } from './backend.js';
import { lendDescriptor, refuseDescriptor, takeDescriptor } from './endpoint.js';

function join(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array | undefined {
  if (first === undefined || first.length === 0) return second;
  return second === undefined || second.length === 0 ? first : Buffer.concat([first, second]);
}

export class SpliceBackend implements Backend {
  readonly name = 'splice';
  readonly #relay: Relay;
  readonly #ends = new Map<number, (end: CarrierEnd) => void>();
  readonly #counters = new Float64Array(4);

  constructor(settings: RelaySettings) {
    this.#relay = new (native().Relay)(settings, (words) => this.#report(words));
  }

  refuse(handover: Handover): string | undefined {
    return refuseDescriptor(handover.client, 'client') ?? refuseDescriptor(handover.upstream, 'upstream');
  }

  start(handover: Handover, onEnd: (end: CarrierEnd) => void): Carrier {
    return handover.bound === undefined ? this.#startWhole(handover, onEnd) : this.#startBounded(handover, handover.bound, onEnd);
  }

  stop(): void {
    this.#relay.stop();
  }

  #startWhole(handover: Handover, onEnd: (end: CarrierEnd) => void): Carrier {
    const client = takeDescriptor(handover.client);
    const upstream = takeDescriptor(handover.upstream);
    const id = this.#relay.add(
      client.fd,
      upstream.fd,
      handover.idleMs,
      handover.reply,
      join(handover.clientHead, client.head),
      join(handover.upstreamHead, upstream.head),
      BOUNDED.none,
      0,
    );
    return this.#carrier(id, onEnd);
  }

  // Only the bounded direction's bytes are taken from its source's buffer, and no more than the
  // bound: everything else stays where it is for the caller.
  #startBounded(handover: Handover, bound: { direction: 'up' | 'down'; maxBytes: number }, onEnd: (end: CarrierEnd) => void): Carrier {
    const up = bound.direction === 'up';
    const given = (up ? handover.clientHead : handover.upstreamHead) ?? new Uint8Array(0);
    const room = bound.maxBytes - given.length;
    const client = lendDescriptor(handover.client, up ? room : 0);
    const upstream = lendDescriptor(handover.upstream, up ? 0 : room);
    const head = join(given, up ? client.head : upstream.head);
    const id = this.#relay.add(
      client.fd,
      upstream.fd,
      handover.idleMs,
      handover.reply,
      up ? head : undefined,
      up ? undefined : head,
      up ? BOUNDED.up : BOUNDED.down,
      bound.maxBytes,
    );
    return this.#carrier(id, (end) => {
      client.giveBack();
      upstream.giveBack();
      onEnd(end);
    });
  }

  #carrier(id: number, onEnd: (end: CarrierEnd) => void): Carrier {
    this.#ends.set(id, onEnd);
    return { counters: () => this.#read(id), abort: () => this.#relay.end(id) };
  }

  // Between the end in the thread and its report the thread knows the flow no longer: it is then
  // in teardown as far as anybody here can tell, and the report will carry the numbers.
  #read(id: number): CarrierCounters {
    const out = this.#counters;
    if (!this.#relay.counters(id, out)) return { bytesUp: 0, bytesDown: 0, idleMs: 0, state: 'teardown' };
    return { bytesUp: out[0]!, bytesDown: out[1]!, idleMs: out[3]!, state: FLOW_STATE_NAMES[out[2]!]! };
  }

  #report(words: Float64Array): void {
    for (let i = 0; i < words.length; i += REPORT_WORDS) {
      const id = words[i]!;
      const onEnd = this.#ends.get(id);
      this.#ends.delete(id);
      onEnd?.({
        reason: CLOSE_REASON_NAMES[words[i + 1]!]!,
        errno: words[i + 2]!,
        bytesUp: words[i + 3]!,
        bytesDown: words[i + 4]!,
        durationMs: words[i + 5]!,
      });
    }
  }
}
