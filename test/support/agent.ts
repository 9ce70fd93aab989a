/** The agent's process (see agent-api.ts): runs on a lab host and is spoken to over Node's IPC channel. */
import { createCipheriv, createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { AgentApi, AgentReply, AgentRequest, ConnectionId, Digest, Ending } from './agent-api.js';
import { sequence, swarm } from './swarm.js';

/** True while the kernel knows the connection; a reset removes it at once, a FIN does not. */
function kernelKnows(localPort: number, remotePort: number): boolean {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  const ends = new RegExp(`^ *\\d+: [0-9A-F]+:${hex(localPort)} [0-9A-F]+:${hex(remotePort)} `, 'm');
  return ['tcp', 'tcp6'].some((table) => ends.test(readFileSync(`/proc/self/net/${table}`, 'latin1')));
}

class Connection {
  readonly socket: net.Socket;
  #chunks: Buffer[] = [];
  #size = 0;
  #ending: Ending | undefined;
  #changed: (() => void)[] = [];
  #consume: ((chunk: Buffer) => void) | undefined;
  restMs = 0;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (this.#consume !== undefined) this.#consume(chunk);
      else {
        this.#chunks.push(chunk);
        this.#size += chunk.length;
      }
      if (this.restMs > 0) {
        socket.pause();
        setTimeout(() => socket.resume(), this.restMs);
      }
      this.#wake();
    });
    const { localPort = 0, remotePort = 0 } = socket;
    socket.on('end', () => {
      // libuv says "end" for a reset too when it comes together with the last data; the kernel knows better,
      // unless both sides have ended, which removes a connection from its tables as well.
      const whole = socket.writableEnded || kernelKnows(localPort, remotePort);
      this.#end(whole ? { how: 'end' } : { how: 'error', code: 'ECONNRESET' });
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#end({ how: 'error', code: error.code ?? error.message }),
    );
    socket.on('close', () => this.#end({ how: 'error', code: 'CLOSED' }));
  }

  #end(ending: Ending): void {
    // An error after FIN is news; FIN or close after an error is not.
    if (
      this.#ending === undefined ||
      (this.#ending.how === 'end' && ending.how === 'error' && ending.code !== 'CLOSED')
    ) {
      this.#ending = ending;
    }
    this.#wake();
  }

  #wake(): void {
    for (const changed of this.#changed.splice(0)) changed();
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  async read(count: number): Promise<Uint8Array> {
    await this.#until(() => this.#size >= count || this.#ending !== undefined);
    const all = Buffer.concat(this.#chunks);
    const rest = all.subarray(count);
    this.#chunks = [rest];
    this.#size = rest.length;
    return all.subarray(0, count);
  }

  async ending(): Promise<Ending> {
    await this.#until(() => this.#ending !== undefined);
    return this.#ending ?? { how: 'end' };
  }

  async drain(): Promise<Digest> {
    const hash = createHash('sha256');
    let bytes = 0;
    this.#consume = (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
    };
    for (const chunk of this.#chunks.splice(0)) this.#consume(chunk);
    this.#size = 0;
    this.socket.resume();
    const ending = await this.ending();
    if (ending.how === 'error') throw new Error(`${ending.code} after ${bytes} bytes`);
    return { bytes, sha256: hash.digest('hex') };
  }

  async write(data: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.socket.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** A key stream is as good as random and made at the speed of memory. */
  async pour(bytes: number): Promise<Digest> {
    const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
    const hash = createHash('sha256');
    const zeros = Buffer.alloc(64 * 1024);
    for (let left = bytes; left > 0;) {
      const chunk = cipher.update(zeros.subarray(0, Math.min(left, zeros.length)));
      hash.update(chunk);
      left -= chunk.length;
      await this.write(chunk);
    }
    return { bytes, sha256: hash.digest('hex') };
  }
}

const connections = new Map<ConnectionId, Connection>();
const servers = new Map<number, { queue: Connection[]; waiting: ((connection: Connection) => void)[] }>();
let lastId = 0;

function register(connection: Connection): ConnectionId {
  connections.set(++lastId, connection);
  return lastId;
}

function connectionOf(id: ConnectionId): Connection {
  const connection = connections.get(id);
  if (connection === undefined) throw new Error(`there is no connection ${id}`);
  return connection;
}

const api: AgentApi = {
  async listen({ host, port, mode }) {
    const state = { queue: [] as Connection[], waiting: [] as ((connection: Connection) => void)[] };
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      if (mode === 'echo') {
        socket.setNoDelay(true);
        socket.on('error', () => socket.destroy());
        socket.pipe(socket);
        return;
      }
      const connection = new Connection(socket);
      const waiting = state.waiting.shift();
      if (waiting === undefined) state.queue.push(connection);
      else waiting(connection);
    });
    servers.set(port, state);
    server.listen({ host, port, backlog: 2048 });
    await once(server, 'listening');
  },
  async forget() {
    for (const connection of connections.values()) connection.socket.resetAndDestroy();
    connections.clear();
    for (const state of servers.values()) {
      for (const connection of state.queue.splice(0)) connection.socket.resetAndDestroy();
      state.waiting.length = 0;
    }
  },
  async accept(port) {
    const state = servers.get(port);
    if (state === undefined) throw new Error(`nobody listens on ${port}`);
    return register(state.queue.shift() ?? (await new Promise<Connection>((resolve) => state.waiting.push(resolve))));
  },
  async connect({ host, port }) {
    const socket = net.connect({ host, port, allowHalfOpen: true });
    await once(socket, 'connect');
    return register(new Connection(socket));
  },
  async localPort(id) {
    return connectionOf(id).socket.localPort ?? 0;
  },
  write: (id, data) => connectionOf(id).write(data),
  read: (id, count) => connectionOf(id).read(count),
  readAll: (id) => connectionOf(id).read(Number.MAX_SAFE_INTEGER),
  async end(id) {
    connectionOf(id).socket.end();
  },
  async reset(id) {
    connectionOf(id).socket.resetAndDestroy();
  },
  async pause(id) {
    connectionOf(id).socket.pause();
  },
  async resume(id) {
    connectionOf(id).socket.resume();
  },
  async pace(id, restMs) {
    connectionOf(id).restMs = restMs;
  },
  ending: (id) => connectionOf(id).ending(),
  pour: (id, bytes) => connectionOf(id).pour(bytes),
  async taken(id) {
    const { socket } = connectionOf(id);
    return socket.bytesWritten - socket.writableLength;
  },
  drain: (id) => connectionOf(id).drain(),
  swarm,
  sequence,
};

function reply(message: AgentReply): void {
  process.send?.(message);
}

process.on('message', (request: AgentRequest) => {
  // The API's own types guard the caller; here the arguments only pass through.
  const method = api[request.method] as (...args: readonly unknown[]) => Promise<unknown>;
  Promise.resolve()
    .then(() => method(...request.args))
    .then(
      (value) => reply({ id: request.id, ok: true, value }),
      (error: Error) => reply({ id: request.id, ok: false, message: error.message }),
    );
});
// The test process is gone: nobody is left to end us.
process.on('disconnect', () => process.exit());
