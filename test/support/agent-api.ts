/** What a test can ask of the agent, a process of ours on a lab host. Both ends of a flow are then scripted from one place. */

/** A connection of the agent. */
export type ConnectionId = number;

/** How the receiving side of a connection ended: by FIN, or by an error such as ECONNRESET. */
export type Ending = { readonly how: 'end' } | { readonly how: 'error'; readonly code: string };

export interface Digest {
  readonly bytes: number;
  readonly sha256: string;
}

export interface SwarmResult {
  readonly done: number;
  readonly errors: readonly string[];
}

export interface AgentApi {
  /** Listens; `echo` answers by itself, `accept` leaves every connection to the test. */
  listen(options: { host: string; port: number; mode: 'accept' | 'echo' }): Promise<void>;
  /** Cuts every connection, also those not yet accepted, so that a test that failed leaves nothing to the next. */
  forget(): Promise<void>;
  /** The next connection accepted on `port`. */
  accept(port: number): Promise<ConnectionId>;
  connect(options: { host: string; port: number }): Promise<ConnectionId>;
  /** The local port, by which a flow is found in the proxy's log. */
  localPort(id: ConnectionId): Promise<number>;
  /** Resolves when the kernel has taken the bytes. */
  write(id: ConnectionId, data: Uint8Array): Promise<void>;
  /** Exactly `count` bytes, or fewer when the other side ends before. */
  read(id: ConnectionId, count: number): Promise<Uint8Array>;
  /** Everything up to the end. */
  readAll(id: ConnectionId): Promise<Uint8Array>;
  /** Sends FIN, after everything written. */
  end(id: ConnectionId): Promise<void>;
  /** Sends RST. */
  reset(id: ConnectionId): Promise<void>;
  /** Stops reading from the socket, so that its window closes. */
  pause(id: ConnectionId): Promise<void>;
  resume(id: ConnectionId): Promise<void>;
  /** Rests for so many milliseconds behind each piece (64 KiB at most) that it reads. 0: reads as fast as it can. */
  pace(id: ConnectionId, restMs: number): Promise<void>;
  /** Waits for the other side's end. */
  ending(id: ConnectionId): Promise<Ending>;
  /** Writes `bytes` pseudo-random bytes, respecting backpressure; resolves when the last was taken. */
  pour(id: ConnectionId, bytes: number): Promise<Digest>;
  /** Bytes the kernel has taken of what `pour` and `write` gave it. */
  taken(id: ConnectionId): Promise<number>;
  /** Reads and hashes until the end. */
  drain(id: ConnectionId): Promise<Digest>;
  /** `flows` connections through a SOCKS5 proxy, all open at once, each echoing `bytes` bytes, which are compared. */
  swarm(options: SwarmOptions & { flows: number; bytes: number }): Promise<SwarmResult>;
  /** `count` connections through a SOCKS5 proxy one after another, one byte there and back each. */
  sequence(options: SwarmOptions & { count: number }): Promise<SwarmResult>;
}

export interface SwarmOptions {
  readonly proxyHost: string;
  readonly proxyPort: number;
  readonly targetHost: string;
  readonly targetPort: number;
}

export interface AgentRequest {
  readonly id: number;
  readonly method: keyof AgentApi;
  readonly args: readonly unknown[];
}

export type AgentReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string };
