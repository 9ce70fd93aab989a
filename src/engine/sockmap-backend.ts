/**
 * Backend `sockmap`: a BPF verdict program redirects segments from socket to socket
 * (bpf/sockmap.bpf.c); a native thread copies what it leaves, and passes FIN and RST on
 * (addon/sockmap_thread.cc). Only when asked for: it is no faster than `splice` on most machines.
 */
import { FLOW_STATE_NAMES } from '../abi.gen.js';
import { SpliceError } from '../errors.js';
import { errnoName } from '../errno.js';
import { native, type Sockmap } from '../native.js';
import type { Backend, Carrier, CarrierCounters, Handover } from './backend.js';
import type { FlowEnd } from './flow.js';
import { BpfObject } from './bpf-object.js';
import { lendPair, peekDescriptor, refuseDescriptor } from './endpoint.js';
import { ReportedFlows, join } from './reported-flows.js';

export class SockmapBackend implements Backend {
  readonly name = 'sockmap';
  readonly #object: BpfObject;
  readonly #sockmap: Sockmap;
  readonly #flows = new ReportedFlows();
  readonly #counters = new Float64Array(6);

  /** @throws VerifierError, or SpliceError `ERR_SPLICE_SYSTEM` when privilege or kernel support is missing */
  constructor() {
    this.#object = BpfObject.open('sockmap');
    try {
      this.#object.load();
      this.#sockmap = new (native().Sockmap)(this.#object.native, {}, (words) => this.#flows.deliver(words));
    } catch (error) {
      this.#object.close();
      throw error;
    }
  }

  refuse(handover: Handover): string | undefined {
    if (handover.bound !== undefined) return 'a sockmap cannot stop at a bound';
    const reason = refuseDescriptor(handover.client, 'client') ?? refuseDescriptor(handover.upstream, 'upstream');
    if (reason !== undefined) return reason;
    const refusal = this.#sockmap.refuse(peekDescriptor(handover.client)!, peekDescriptor(handover.upstream)!);
    return refusal === '' ? undefined : refusal;
  }

  start(handover: Handover, onEnd: (end: FlowEnd) => void): Carrier {
    const [client, upstream] = lendPair(handover.client, handover.upstream);
    const id = this.#sockmap.add(
      client.fd,
      upstream.fd,
      handover.idleMs,
      handover.reply,
      join(handover.clientHead, client.head),
      join(handover.upstreamHead, upstream.head),
    );
    if (id < 0) {
      client.giveBack();
      upstream.giveBack();
      throw new SpliceError('ERR_SPLICE_SYSTEM', `the sockets could not be inserted: ${errnoName(-id)}`);
    }
    client.keep();
    upstream.keep();
    this.#flows.expect(id, onEnd);
    return { counters: () => this.#read(id), abort: () => this.#sockmap.end(id) };
  }

  stop(): void {
    this.#sockmap.stop();
    this.#object.close();
  }

  #read(id: number): CarrierCounters {
    const out = this.#counters;
    if (!this.#sockmap.counters(id, out)) return { bytesUp: 0, bytesDown: 0, idleMs: 0, state: 'teardown' };
    return { bytesUp: out[0]!, bytesDown: out[1]!, idleMs: out[3]!, state: FLOW_STATE_NAMES[out[2]!]! };
  }
}
