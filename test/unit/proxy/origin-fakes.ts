/** Wires and dials without sockets, for the pool's accounting: the test says what the network does, and when. */
import type { Attempt, Dial } from '../../../src/proxy/origin-connect.js';
import { OriginError, type Acquire, type Origin } from '../../../src/proxy/origin.js';
import type { Wire, WireOwner } from '../../../src/proxy/wire.js';

export class FakeWire implements Wire {
  readonly peer: { address: string; port: number };
  readonly local = { address: '192.0.2.1', port: 1 };
  readonly scheme = 'http';
  readonly descriptor = undefined;
  owner: WireOwner = { onData: unheard, onEnd: unheard, onBroken: unheard, onDrained: unheard };
  open = true;
  ended = false;
  unsent = 0;
  paused = true;
  /** How it was closed from this side. */
  closedBy: 'fin' | 'rst' | undefined;
  /** Said something that its owner heard. */
  talked = false;
  /** Unread in the kernel. */
  pending = false;

  constructor(address: string) {
    this.peer = { address, port: 80 };
  }

  quiet(): boolean {
    return this.open && !this.pending;
  }
  send(): void {
    // To nowhere.
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  unread(): undefined {
    return undefined;
  }
  detach(): number {
    this.open = false;
    return -1;
  }
  finish(): void {
    this.close(false);
  }
  close(reset: boolean): void {
    if (!this.open) return;
    this.open = false;
    this.closedBy = reset ? 'rst' : 'fin';
  }

  // What the peer does.

  says(bytes: string): void {
    if (!this.open || this.ended) return;
    if (this.paused) {
      this.pending = true;
      return;
    }
    this.talked = true;
    this.owner.onData(Buffer.from(bytes));
  }
  ends(): void {
    if (!this.open || this.ended) return;
    if (this.paused) {
      this.pending = true;
      return;
    }
    this.ended = true;
    this.owner.onEnd();
  }
  breaks(): void {
    if (!this.open) return;
    this.open = false;
    this.owner.onBroken(104);
  }
}

function unheard(): void {
  throw new Error('nobody owns this wire');
}

export interface PendingDial {
  readonly origin: Origin;
  readonly want: Acquire;
  succeed(address?: string): FakeWire;
  fail(): void;
}

/** A dial that does what the test says. */
export class FakeDialer {
  readonly pending: PendingDial[] = [];
  readonly wires: FakeWire[] = [];
  /** Hears of a dial when it begins. */
  onDial: (want: Acquire) => void = () => undefined;

  readonly dial: Dial = (origin, want, done): Attempt => {
    const end = (outcome: FakeWire | OriginError): void => {
      this.pending.splice(this.pending.indexOf(entry), 1);
      done(outcome);
    };
    const entry: PendingDial = {
      origin,
      want,
      succeed: (address = '192.0.2.80') => {
        const wire = new FakeWire(address);
        this.wires.push(wire);
        end(wire);
        return wire;
      },
      fail: () => end(new OriginError('refused', 'refused')),
    };
    this.pending.push(entry);
    this.onDial(want);
    return { abort: () => void this.pending.splice(this.pending.indexOf(entry), 1) };
  };
}

export function fakeOrigin(changes: Partial<Origin> = {}): Origin {
  return {
    name: 'http://origin.test:80',
    scheme: 'http',
    host: 'origin.test',
    port: 80,
    tls: undefined,
    proxyProtocol: 0,
    connectTimeout: 1000,
    responseTimeout: 1000,
    idleTimeout: 1000,
    keepAlive: 1000,
    maxConnections: Infinity,
    ...changes,
  };
}

export const anyWant: Acquire = { maxIdle: Infinity, client: undefined, signal: undefined };

/** All microtasks that are there, and those that they make. */
export function flush(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
