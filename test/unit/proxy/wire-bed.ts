/** Wires of a reactor on loopback for tests: what a wire's owner hears, and the far ends, which the tests play. */
import { once } from 'node:events';
import net from 'node:net';
import { decodeAddress } from '../../../src/flow/address.js';
import { native } from '../../../src/native.js';
import { ReactorWire } from '../../../src/proxy/reactor-wire.js';
import type { Wire, WireOwner } from '../../../src/proxy/wire.js';
import { ReactorHost } from '../../../src/server/reactor-host.js';
import { until } from '../../support/flow-bed.js';

/** Writes down what it hears, and does what `on` says. */
export class Listener implements WireOwner {
  readonly events: string[] = [];
  readonly pieces: Buffer[] = [];
  on: (event: string) => void = () => undefined;
  /** Whether a method of the wire is running: nothing may come then. */
  calling = false;

  get received(): Buffer {
    return Buffer.concat(this.pieces);
  }

  /** Events other than data. */
  get words(): string[] {
    return this.events.filter((event) => event !== 'data');
  }

  onData(bytes: Uint8Array): void {
    this.pieces.push(Buffer.from(bytes));
    this.#hear('data');
  }

  onEnd(): void {
    this.#hear('end');
  }

  onBroken(errno: number): void {
    this.#hear(`broken ${errno}`);
  }

  onDrained(): void {
    this.#hear('drained');
  }

  #hear(event: string): void {
    if (this.calling) throw new Error(`"${event}" from within a method of the wire`);
    this.events.push(event);
    this.on(event);
  }

  /** A call of a wire's method in which its owner must hear nothing. */
  call<T>(method: () => T): T {
    this.calling = true;
    try {
      return method();
    } finally {
      this.calling = false;
    }
  }
}

export interface Near<W extends Wire = ReactorWire> {
  readonly wire: W;
  readonly heard: Listener;
  readonly far: net.Socket;
}

export class WireBed {
  readonly host = new ReactorHost({ readSize: 16 * 1024 });
  readonly port: number;
  readonly quota = new (native().Quota)(undefined, () => undefined);
  readonly #fars: net.Socket[] = [];
  #accepted: (slot: number, peer: Uint8Array) => void = () => undefined;

  constructor() {
    const fd = native().listen('127.0.0.1', 0, 512, false);
    this.port = decodeAddress(native().describe(fd).local!).port;
    this.host.listen(fd, this.quota, {
      onAccepted: (slot, _listener, peer) => this.#accepted(slot, peer),
      onAcceptFailed: (_listener, errno) => {
        throw new Error(`accept failed: ${errno}`);
      },
      onFull: () => undefined,
    });
  }

  /** What is done with connections from now on. */
  accept(accepted: (slot: number, peer: Uint8Array) => void): void {
    this.#accepted = accepted;
  }

  /** A far end; nobody reads it yet. */
  async dial(): Promise<net.Socket> {
    const far = net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    far.on('error', () => undefined);
    this.#fars.push(far);
    await once(far, 'connect');
    return far;
  }

  async open(): Promise<Near> {
    let near: { wire: ReactorWire; heard: Listener } | undefined;
    this.accept((slot, peer) => {
      const wire = new ReactorWire(this.host, slot, decodeAddress(peer));
      const heard = new Listener();
      wire.owner = heard;
      near = { wire, heard };
    });
    const far = await this.dial();
    await until('accepted', () => near !== undefined);
    return { ...near!, far };
  }

  close(): void {
    for (const far of this.#fars) far.destroy();
    this.host.stop();
    this.quota.close();
  }
}
