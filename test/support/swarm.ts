/** Many SOCKS5 clients in one process, without a fork or a stream per client more than needed. */
import net from 'node:net';
import { patient } from './children.js';
import { greeting5, request5 } from './socks-bytes.js';
import type { SwarmOptions, SwarmResult } from './agent-api.js';

const limitMs = patient(60_000);

/** Connects and asks the proxy for the target; `opened` when the proxy has said yes, with not a byte read beyond that. */
function openFlow(options: SwarmOptions): { socket: net.Socket; opened: Promise<void> } {
  const socket = net.connect({ host: options.proxyHost, port: options.proxyPort, noDelay: true });
  socket.setTimeout(limitMs, () => socket.destroy(new Error('timed out')));
  let head = Buffer.alloc(0);
  const opened = new Promise<void>((resolve, reject) => {
    // Stays for good: between opening and use nobody else would listen.
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('closed during the handshake')));
    const read = (): void => {
      for (;;) {
        const want = head.length < 2 ? 2 - head.length : lengthOfReply(head) - head.length;
        const chunk = socket.read(want) as Buffer | null;
        if (chunk === null) return;
        head = Buffer.concat([head, chunk]);
        if (head.length === 2) {
          if (head[0] !== 5 || head[1] !== 0) return reject(new Error(`method choice ${head.toString('hex')}`));
          socket.write(request5(options.targetHost, options.targetPort));
        } else if (head.length === lengthOfReply(head)) {
          socket.off('readable', read);
          return head[3] === 0 ? resolve() : reject(new Error(`reply code ${String(head[3])}`));
        }
      }
    };
    socket.on('readable', read);
    socket.once('connect', () => socket.write(greeting5(0)));
  });
  return { socket, opened };
}

/** Length of method choice and reply together, as far as the bytes so far tell. */
function lengthOfReply(head: Buffer): number {
  if (head.length < 7) return 7;
  switch (head[5]) {
    case 4:
      return 2 + 22;
    case 3:
      return 2 + 7 + (head[6] ?? 0);
    default:
      return 2 + 10;
  }
}

/** Sends `data`, expects it back, closes; resolves when the connection is gone. */
function echo(socket: net.Socket, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let at = 0;
    socket.once('error', reject);
    socket.on('data', (chunk: Buffer) => {
      if (!chunk.equals(data.subarray(at, at + chunk.length))) {
        socket.destroy(new Error(`wrong bytes at ${at}`));
        return;
      }
      at += chunk.length;
      if (at === data.length) socket.end();
    });
    socket.once('close', () =>
      at === data.length ? resolve() : reject(new Error(`closed after ${at} of ${data.length}`)),
    );
    socket.resume();
    socket.write(data);
  });
}

/** Bytes that differ from flow to flow and never repeat within the usual buffer sizes. */
function pattern(flow: number, bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = (flow + 1) * 2_654_435_761;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data[at] = state >>> 24;
  }
  return data;
}

export async function swarm(options: SwarmOptions & { flows: number; bytes: number }): Promise<SwarmResult> {
  const errors: string[] = [];
  const note = (error: unknown): void => void errors.push(error instanceof Error ? error.message : String(error));
  const flows = Array.from({ length: options.flows }, () => openFlow(options));
  const opened = await Promise.allSettled(flows.map((flow) => flow.opened));
  // Only now, with all of them open, does data flow.
  const echoes = flows.map(async ({ socket }, index) => {
    const state = opened[index];
    if (state?.status !== 'fulfilled') throw state?.reason ?? new Error('not opened');
    await echo(socket, pattern(index, options.bytes));
  });
  const results = await Promise.allSettled(echoes);
  for (const result of results) if (result.status === 'rejected') note(result.reason);
  return { done: results.filter((result) => result.status === 'fulfilled').length, errors: errors.slice(0, 10) };
}

export async function sequence(options: SwarmOptions & { count: number }): Promise<SwarmResult> {
  const errors: string[] = [];
  let done = 0;
  for (let at = 0; at < options.count && errors.length < 10; at++) {
    try {
      const { socket, opened } = openFlow(options);
      await opened;
      await echo(socket, Buffer.from([at & 0xff]));
      done++;
    } catch (error) {
      errors.push(`connection ${at}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { done, errors };
}
