/**
 * Backend `splice`: native threads move the bytes by splice(2), small transfers by copying.
 * Needs no privilege. The mover itself is addon/half.cc and addon/relay_loop.cc.
 */
import { FLOW_STATE_NAMES } from '../abi.gen.js';
import { SpliceError } from '../errors.js';
import { BOUNDED, native, type Relay, type RelaySettings } from '../native.js';
import type { Backend, Carrier, CarrierCounters, Handover } from './backend.js';
import type { FlowEnd } from './flow.js';
import { borrowBuffered, peekDescriptor, refuseDescriptor, takePair } from './endpoint.js';
import { ReportedFlows, join } from './reported-flows.js';

export class SpliceBackend implements Backend {
  readonly name = 'splice';
  readonly #settings: RelaySettings;
  readonly #flows = new ReportedFlows();
  readonly #counters = new Float64Array(4);
  #started: Relay | undefined;

  /** `lazy`: its threads start with the first flow, because a better backend carries most, and there may never be one. */
  constructor(settings: RelaySettings, lazy: boolean) {
    this.#settings = settings;
    if (!lazy) this.#started = this.#relay;
  }

  refuse(handover: Handover): string | undefined {
    return refuseDescriptor(handover.client, 'client') ?? refuseDescriptor(handover.upstream, 'upstream');
  }

  start(handover: Handover, onEnd: (end: FlowEnd) => void): Carrier {
    return handover.bound === undefined
      ? this.#startWhole(handover, onEnd)
      : this.#startBounded(handover, handover.bound, onEnd);
  }

  stop(): void {
    this.#started?.stop();
  }

  get #relay(): Relay {
    return (this.#started ??= new (native().Relay)(this.#settings, (words) => this.#flows.deliver(words)));
  }

  #startWhole(handover: Handover, onEnd: (end: FlowEnd) => void): Carrier {
    const [client, upstream] = takePair(handover.client, handover.upstream);
    const id = this.#relay.add(
      client.fd,
      upstream.fd,
      handover.idleMs,
      handover.reply,
      join(handover.clientHead, client.head),
      join(handover.upstreamHead, upstream.head),
      BOUNDED.none,
      0,
      handover.prepared,
    );
    return this.#carrier(id, onEnd);
  }

  // Only the bounded direction's bytes are taken from its source's buffer, and no more than the
  // bound: everything else stays where it is for the caller.
  #startBounded(
    handover: Handover,
    bound: { direction: 'up' | 'down'; maxBytes: number },
    onEnd: (end: FlowEnd) => void,
  ): Carrier {
    const up = bound.direction === 'up';
    const given = (up ? handover.clientHead : handover.upstreamHead) ?? new Uint8Array(0);
    const room = bound.maxBytes - given.length;
    const source = borrowBuffered(up ? handover.client : handover.upstream, room);
    const head = join(given, source.head);
    try {
      const id = this.#relay.add(
        peekDescriptor(handover.client)!,
        peekDescriptor(handover.upstream)!,
        handover.idleMs,
        handover.reply,
        up ? head : undefined,
        up ? undefined : head,
        up ? BOUNDED.up : BOUNDED.down,
        bound.maxBytes,
        handover.prepared,
      );
      return this.#carrier(id, onEnd);
    } catch (cause) {
      source.giveBack();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new SpliceError('ERR_SPLICE_SYSTEM', `two connections cannot be lent: ${why}`, { cause });
    }
  }

  #carrier(id: number, onEnd: (end: FlowEnd) => void): Carrier {
    this.#flows.expect(id, onEnd);
    return { counters: () => this.#read(id), abort: () => this.#relay.end(id) };
  }

  // Between the end in the thread and its report the thread knows the flow no longer: it is then
  // in teardown as far as anybody here can tell, and the report will carry the numbers.
  #read(id: number): CarrierCounters {
    const out = this.#counters;
    if (!this.#relay.counters(id, out)) return { bytesUp: 0, bytesDown: 0, idleMs: 0, state: 'teardown' };
    return { bytesUp: out[0]!, bytesDown: out[1]!, idleMs: out[3]!, state: FLOW_STATE_NAMES[out[2]!]! };
  }
}
