/** The load generator against servers that lie, leave and break: nothing of it passes for a result. */
import net from 'node:net';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import type { LoadMode } from '../../../src/bench/model.js';
import { join, LoadProgram, Peer, type Printed } from './load-program.js';

let load: LoadProgram;
let honest: number;
let liar: Peer | undefined;
beforeAll(async () => {
  load = new LoadProgram();
  honest = await load.serve();
});
afterEach(() => liar?.close());
afterAll(() => load.close());

async function against(talk: (socket: net.Socket) => void, mode: LoadMode, ...args: string[]): Promise<Printed> {
  liar = await Peer.listen(talk);
  return await load.run(mode, liar.port, ...args);
}

/** A relay to the honest server that damages what comes back: `change` gets every piece with its place in the stream. */
const relay =
  (change: (data: Buffer, position: number) => Buffer) =>
  (socket: net.Socket): void => {
    const server = net.connect({ port: honest, host: '127.0.0.1', allowHalfOpen: true });
    let position = 0;
    socket.pipe(server).on('error', () => undefined);
    server.on('data', (data) => {
      socket.write(change(data, position));
      position += data.length;
    });
    server.on('end', () => socket.end());
  };

/** Changes the byte at `place`. */
const flipped =
  (place: number) =>
  (data: Buffer, position: number): Buffer => {
    if (place >= position && place < position + data.length)
      data.writeUInt8(data.readUInt8(place - position) ^ 1, place - position);
    return data;
  };

/** Repeats the byte before `place` there, and moves the rest: the classical loss of a place in a buffer. */
const doubled =
  (place: number) =>
  (data: Buffer, position: number): Buffer => {
    const at = place - position;
    if (at <= 0 || at >= data.length) return data;
    return Buffer.concat([data.subarray(0, at), data.subarray(at - 1)]);
  };

const summary = (received: bigint, corrupt: bigint): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(received, 0);
  bytes.writeBigUInt64LE(corrupt, 8);
  return bytes;
};

describe('wrong bytes', () => {
  test.each([
    ['download', ['--bytes', '300000'], 123_456],
    ['fetch', ['--count', '1', '--size', '5000'], 4_999],
    ['ping', ['--count', '10'], 3],
    ['small', ['--count', '100'], 70],
  ] as const)('of %s are counted and placed', async (mode, args, place) => {
    const result = await against(relay(flipped(place)), mode, ...args);
    expect(result).toMatchObject({ corrupt: 1, errors: 0, clean: false });
    const [, at, wrong, on] =
      /^corrupt in the traffic, at byte (\d+): (\d+) of .* (\d+) bytes on$/.exec(result.firstError) ?? [];
    expect(Number(at) + Number(on)).toBe(place);
    expect(wrong).toBe('1');
  });

  test('a byte too many is found by the bytes behind it and by the end', async () => {
    const result = await against(relay(doubled(1000)), 'download', '--bytes', '200000');
    expect(result.corrupt).toBeGreaterThan(100_000);
    expect(result).toMatchObject({ errors: 1, errorKinds: { protocol: 1 }, clean: false });
  });

  test('the streams of two connections may not be exchanged', async () => {
    const waiting: { socket: net.Socket; server: net.Socket }[] = [];
    const crossed = (socket: net.Socket): void => {
      const server = net.connect({ port: honest, host: '127.0.0.1', allowHalfOpen: true });
      server.on('error', () => undefined);
      socket.pipe(server);
      waiting.push({ socket, server });
      const [one, other] = waiting;
      if (one === undefined || other === undefined) return;
      one.server.pipe(other.socket);
      other.server.pipe(one.socket);
    };
    const result = await against(crossed, 'download', '--bytes', '50000', '--connections', '2');
    expect(result.corrupt).toBeGreaterThan(50_000);
    expect(result.clean).toBe(false);
  });

  test('another answer than the one byte of connect', async () => {
    const result = await against((socket) => socket.once('data', () => socket.end('?')), 'connect', '--count', '1');
    expect(result).toMatchObject({ corrupt: 1, errorKinds: { protocol: 1 }, operations: 0, clean: false });
    expect(result.firstError).toMatch(/^corrupt in the traffic, at byte 1: not the one byte that was expected$/);
  });

  test('what the server says it received', async () => {
    const read = (text: Buffer) => (socket: net.Socket) => void socket.resume().on('end', () => socket.end(text));
    const wrong = await against(read(summary(1000n, 7n)), 'upload', '--bytes', '1000');
    expect(wrong).toMatchObject({ corrupt: 7, errors: 0, clean: false });
    expect(wrong.firstError).toBe('corrupt after the upload, at byte 1000: the server received wrong bytes');
    await liar?.close();
    const fewer = await against(read(summary(999n, 0n)), 'upload', '--bytes', '1000');
    expect(fewer).toMatchObject({ corrupt: 0, errors: 1, errorKinds: { closedEarly: 1 }, clean: false });
    expect(fewer.firstError).toBe('closedEarly after the upload, at byte 1000: the server received 999 bytes');
  });
});

describe('a server that', () => {
  const once = (act: (socket: net.Socket) => void) => (socket: net.Socket) =>
    void socket.once('data', () => act(socket));
  const bytes = (size: number) => Buffer.alloc(size);

  test('refuses', async () => {
    const gone = await Peer.listen(() => undefined);
    const port = gone.port;
    await gone.close();
    const result = await load.run('ping', port, '--count', '1', '--connections', '4', '--threads', '2');
    expect(result).toMatchObject({ errors: 4, errorKinds: { connect: 4 }, clean: false });
    expect(result.firstError).toBe('connect while connecting, at byte 0: Connection refused');
  });

  test.each([
    ['download', ['--bytes', '1000'], 'end of stream before the last byte'],
    ['download', ['--seconds', '5'], 'end of stream before the last byte'],
    ['fetch', ['--count', '1', '--size', '1000'], 'end of stream before the last byte'],
    ['mixed', ['--count', '1'], 'end of stream before the last byte'],
    ['ping', ['--count', '1'], 'the echo connection was closed'],
    ['small', ['--count', '1'], 'the echo connection was closed'],
    ['idle', ['--seconds', '5'], 'the echo connection was closed'],
    ['connect', ['--count', '1'], 'closed before the answer'],
  ] as const)('closes early: %s %j', async (mode, args, text) => {
    const result = await against(
      once((socket) => socket.end()),
      mode,
      ...args,
    );
    expect(result).toMatchObject({ errors: 1, errorKinds: { closedEarly: 1 }, operations: 0, clean: false });
    expect(result.firstError).toBe(`closedEarly in the traffic, at byte 0: ${text}`);
  });

  test('closes after the upload without a word', async () => {
    const result = await against(
      (socket) => socket.resume().on('end', () => socket.end()),
      'upload',
      '--bytes',
      '1000',
    );
    expect(result).toMatchObject({ errors: 1, errorKinds: { closedEarly: 1 }, clean: false });
    expect(result.firstError).toMatch(/^closedEarly after the upload, at byte 1000: /);
  });

  test.each(['download', 'upload', 'ping', 'small', 'idle', 'connect', 'fetch', 'mixed'] as const)(
    'resets: %s',
    async (mode) => {
      const bulk = mode === 'download' || mode === 'upload';
      const limit = bulk ? ['--bytes', '1e9'] : mode === 'idle' ? ['--seconds', '5'] : ['--count', '1'];
      const result = await against(
        once((socket) => socket.resetAndDestroy()),
        mode,
        ...limit,
      );
      expect(result).toMatchObject({ errors: 1, errorKinds: { reset: 1 }, operations: 0, clean: false });
      expect(result.firstError).toMatch(/^reset .*: (Connection reset by peer|Broken pipe)$/);
    },
  );

  test('sends more than was asked for', async () => {
    const result = await against(
      once((socket) => socket.end(bytes(20))),
      'fetch',
      '--count',
      '1',
      '--size',
      '10',
    );
    expect(result).toMatchObject({ errorKinds: { protocol: 1 }, clean: false });
    expect(result.corrupt).toBeGreaterThan(0);
  });

  test('answers what nobody asked', async () => {
    // One byte back as it should be; another one while the connection is silent.
    const echo = (socket: net.Socket): void => {
      let come = 0;
      socket.on('data', (data) => {
        if (come <= 16 && come + data.length > 16) {
          socket.write(data.subarray(16 - come));
          setTimeout(() => socket.write('x'), 50);
        }
        come += data.length;
      });
    };
    const result = await against(echo, 'idle', '--seconds', '5');
    expect(result).toMatchObject({ errorKinds: { protocol: 1 }, clean: false });
    expect(result.firstError).toMatch(/: an answer to no question$/);
  });

  test.each([
    ['ping', ['--count', '1'], 'not finished when the time was over'],
    ['fetch', ['--count', '1'], 'not finished when the time was over'],
    ['download', ['--bytes', '10'], 'not finished when the time was over'],
  ] as const)('never answers: %s', async (mode, args, text) => {
    const result = await against(() => undefined, mode, ...args, '--timeout', '0.2', '--connections', '2');
    expect(result).toMatchObject({ errors: 2, errorKinds: { timeout: 2 }, operations: 0, clean: false });
    expect(result.firstError).toBe(`timeout in the traffic, at byte 0: ${text}`);
  });

  test('goes silent in a timed run, which would have cut the connection off anyway', async () => {
    const silent = await Peer.listen((socket) => void socket.once('data', () => socket.write('!')));
    const modes = ['download', 'ping', 'small', 'connect', 'fetch'] as const;
    const results = await Promise.all(
      modes.map((mode) => load.run(mode, silent.port, '--seconds', '0.3', '--warmup', '0.1', '--connections', '2')),
    );
    await silent.close();
    // Its one byte, wrong or not, was the last that came.
    for (const result of results) {
      expect(result).toMatchObject({ errors: 2, errorKinds: { timeout: 2 }, clean: false });
      expect(result.firstError).toMatch(/^(corrupt|timeout) in the traffic, at byte [01]: /);
    }
  });

  test('is slow, and has moved when it is asked for a sign of life', async () => {
    const late = (socket: net.Socket): void => {
      const server = net.connect({ port: honest, host: '127.0.0.1' }).on('error', () => undefined);
      socket.pipe(server).on('data', (data) => setTimeout(() => socket.write(data), 900));
    };
    const result = await against(late, 'ping', '--seconds', '0.3', '--warmup', '0');
    expect(result).toMatchObject({ stalled: 1, errors: 0, clean: true });
  });

  test('breaks one of many connections, and the others go on', async () => {
    let count = 0;
    const talk = (socket: net.Socket): void => {
      if (count++ === 2) return void socket.once('data', () => socket.resetAndDestroy());
      join(socket, net.connect({ port: honest, host: '127.0.0.1', allowHalfOpen: true }));
    };
    const result = await against(
      talk,
      'fetch',
      '--count',
      '40',
      '--connections',
      '4',
      '--threads',
      '2',
      '--size',
      '2000',
    );
    expect(result).toMatchObject({ errors: 1, errorKinds: { reset: 1 }, corrupt: 0, clean: false });
    expect(result.operations).toBeGreaterThanOrEqual(39);
  });
});
