/**
 * Which call is allowed in which state, and what a refused one says. Every refusal is also checked
 * to have changed nothing: the connection still carries bytes in the caller's hands.
 */
import { closeSync, openSync } from 'node:fs';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { SpliceEngine } from '../../../src/engine/engine.js';
import { SpliceError } from '../../../src/errors.js';
import { native } from '../../../src/native.js';
import { clear, connectPair, hangingPort, descriptorOf, rawDescriptor, readBytes } from '../../support/flow-bed.js';

const engine = await SpliceEngine.open();
const other = await SpliceEngine.open();
const closed = await SpliceEngine.open();
await closed.close();
afterAll(() => Promise.all([engine.close(), other.close()]));

/** A thing to hand over, how to prove that it is untouched, and how to be rid of it. */
interface Subject {
  value: net.Socket | number;
  proof?: () => Promise<void>;
  dispose: () => void;
}

const socketSubject = async (
  prepare: (near: net.Socket) => Promise<void> | void = () => undefined,
): Promise<Subject> => {
  const { near, far } = await connectPair();
  await prepare(near);
  return { value: near, proof: () => stillConnected(near, far), dispose: () => clear(near, far) };
};

async function stillConnected(near: net.Socket, far: net.Socket): Promise<void> {
  near.write('down');
  expect((await readBytes(far, 4)).toString()).toBe('down');
}

const descriptorSubject = (fd: number): Subject => ({ value: fd, dispose: () => native().close(fd) });

/** Every state that a client or upstream can be in. */
const SUBJECTS: Record<string, () => Promise<Subject> | Subject> = {
  'socket: fresh': () => {
    const socket = new net.Socket();
    return { value: socket, dispose: () => socket.destroy() };
  },
  'socket: connecting': async () => {
    const { port, dispose } = await hangingPort();
    const socket = net.connect(port, '127.0.0.1');
    return {
      value: socket,
      dispose: () => {
        clear(socket);
        dispose();
      },
    };
  },
  'socket: established': () => socketSubject(),
  'socket: intended': () =>
    socketSubject(async (near) => {
      const partner = new net.Socket();
      engine.intendSplice(near, partner);
      partner.destroy();
    }),
  'socket: intended by another engine': () => socketSubject((near) => other.intendSplice(near, new net.Socket())),
  'socket: spliced': async () => {
    const [{ near, far }, partner] = await Promise.all([connectPair(), connectPair()]);
    const flow = await engine.splice(near, partner.near);
    return {
      value: near,
      proof: async () => {
        far.write('through');
        expect((await readBytes(partner.far, 7)).toString()).toBe('through');
      },
      dispose: () => {
        flow.abort();
        clear(far, partner.far);
      },
    };
  },
  'socket: ended': async () => {
    const { near, far } = await connectPair();
    near.end();
    return {
      value: near,
      proof: async () => {
        far.write('up');
        expect((await readBytes(near, 2)).toString()).toBe('up');
      },
      dispose: () => clear(near, far),
    };
  },
  'socket: decodes to strings': () => socketSubject((near) => void near.setEncoding('utf8')),
  'socket: destroyed': async () => {
    const subject = await socketSubject((near) => void near.destroy());
    return { value: subject.value, dispose: subject.dispose };
  },
  'descriptor: negative': () => ({ value: -1, dispose: () => undefined }),
  'descriptor: fraction': () => ({ value: 1.5, dispose: () => undefined }),
  'descriptor: closed': () => {
    const fd = openSync('/dev/null', 'r');
    closeSync(fd);
    return { value: fd, dispose: () => undefined };
  },
  'descriptor: no socket': () => descriptorSubject(openSync('/dev/null', 'r')),
  'descriptor: UDP': async () => {
    const socket = dgram.createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { fd } = (socket as unknown as Record<symbol, { handle: { fd: number } }>)[stateSymbol(socket)]!.handle;
    return { value: fd, dispose: () => socket.close() };
  },
  'descriptor: unconnected': () => descriptorSubject(native().listen('127.0.0.1', 0, 1, false)),
  'descriptor: connected': async () => {
    const { near, far } = await connectPair();
    const fd = rawDescriptor(near);
    return {
      value: fd,
      proof: async () => {
        expect(native().connectedStream(fd)).toBe('');
      },
      dispose: () => {
        native().close(fd);
        far.destroy();
      },
    };
  },
  'neither socket nor descriptor': () => ({ value: 'client' as unknown as number, dispose: () => undefined }),
};

function stateSymbol(socket: dgram.Socket): symbol {
  return Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === 'state symbol')!;
}

const ok = 'ok';
const STATE = 'ERR_SPLICE_STATE';
const ARGUMENT = 'ERR_SPLICE_ARGUMENT';

// prettier-ignore
const MATRIX: Record<string, readonly [intendClient: string, intendUpstream: string, spliceClient: string, spliceUpstream: string]> = {
  //                                     intendSplice         splice, spliceNow
  //                                     client    upstream   client    upstream
  'socket: fresh':                      [STATE,    ok,        STATE,    STATE],
  'socket: connecting':                 [STATE,    ok,        STATE,    STATE],
  'socket: established':                [ok,       ok,        ok,       ok],
  'socket: intended':                   [STATE,    STATE,     ok,       ok],
  'socket: intended by another engine': [STATE,    STATE,     STATE,    STATE],
  'socket: spliced':                    [STATE,    STATE,     STATE,    STATE],
  'socket: ended':                      [STATE,    ok,        STATE,    STATE],
  'socket: decodes to strings':         [STATE,    ok,        STATE,    STATE],
  'socket: destroyed':                  [STATE,    STATE,     STATE,    STATE],
  'descriptor: negative':               [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
  'descriptor: fraction':               [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
  'descriptor: closed':                 [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
  'descriptor: no socket':              [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
  'descriptor: UDP':                    [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
  'descriptor: unconnected':            [STATE,    ok,        STATE,    STATE],
  'descriptor: connected':              [ok,       ok,        ok,       ok],
  'neither socket nor descriptor':      [ARGUMENT, ARGUMENT,  ARGUMENT, ARGUMENT],
};

type Call = (engine: SpliceEngine, client: net.Socket | number, upstream: net.Socket | number) => unknown;
const intend: Call = (on, client, upstream) => on.intendSplice(client, upstream);
const splice: Call = async (on, client, upstream) => {
  const flow = await on.splice(client, upstream);
  flow.abort();
  await flow.closed;
};
const CALLS: readonly [name: string, column: number, call: Call, place: 'client' | 'upstream'][] = [
  ['intendSplice', 0, intend, 'client'],
  ['intendSplice', 1, intend, 'upstream'],
  ['splice', 2, splice, 'client'],
  ['splice', 3, splice, 'upstream'],
];

async function outcome(call: () => unknown): Promise<string> {
  try {
    await call();
    return ok;
  } catch (error) {
    expect(error).toBeInstanceOf(SpliceError);
    return (error as SpliceError).code;
  }
}

describe.each(Object.keys(MATRIX))('%s', (state) => {
  test.each(CALLS)('%s, column %i', async (_name, column, call, place) => {
    const subject = await SUBJECTS[state]!();
    const partner = await connectPair();
    const pair: [net.Socket | number, net.Socket | number] = [subject.value, partner.near];
    if (place === 'upstream') pair.reverse();
    const expected = MATRIX[state]![column]!;
    const before = engine.flows().next().done;

    expect(await outcome(() => call(closed, ...pair)), 'on a closed engine').toBe(STATE);
    expect(await outcome(() => call(engine, ...pair)), 'on an open engine').toBe(expected);
    if (expected !== ok) {
      expect(engine.flows().next().done).toBe(before);
      await subject.proof?.();
      // The innocent partner too is the caller's as before: another splice may have it.
      await stillConnected(partner.near, partner.far);
      const { near, far } = await connectPair();
      expect(await outcome(() => splice(engine, partner.near, near))).toBe(ok);
      clear(far);
    }
    clear(partner.near, partner.far);
    try {
      subject.dispose();
    } catch (error) {
      // A descriptor that a flow has taken is closed.
      expect(expected).toBe(ok);
      expect((error as NodeJS.ErrnoException).code).toBe('EBADF');
    }
  });
});

test('one connection cannot be both ends', async () => {
  const { near, far } = await connectPair();
  expect(await outcome(() => engine.intendSplice(near, near))).toBe(ARGUMENT);
  expect(await outcome(() => engine.splice(near, near))).toBe(ARGUMENT);
  await stillConnected(near, far);
  clear(near, far);
});

describe('initSplice', () => {
  const listening = async (): Promise<net.Server> => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  test('a server', async () => {
    const server = await listening();
    expect(await outcome(() => engine.initSplice(server))).toBe(ok);
    expect(await outcome(() => closed.initSplice(server))).toBe(STATE);
    server.close();
    expect(await outcome(() => engine.initSplice(server))).toBe(STATE);
    expect(await outcome(() => engine.initSplice(net.createServer()))).toBe(STATE);
  });
  test('a descriptor', async () => {
    const fd = native().listen('127.0.0.1', 0, 1, false);
    expect(await outcome(() => engine.initSplice(fd))).toBe(ok);
    expect(await outcome(() => closed.initSplice(fd))).toBe(STATE);
    native().close(fd);
    expect(await outcome(() => engine.initSplice(fd))).toBe(ARGUMENT);
    const { near, far } = await connectPair();
    expect(await outcome(() => engine.initSplice(descriptorOf(near)))).toBe(STATE);
    clear(near, far);
    expect(await outcome(() => engine.initSplice('80' as unknown as number))).toBe(ARGUMENT);
  });
});

describe('flow.abort', () => {
  test('twice, and after the end: nothing more happens', async () => {
    const [a, b] = await Promise.all([connectPair(), connectPair()]);
    const flow = await engine.splice(a.near, b.near);
    expect(flow.state).toBe('relay');
    expect(engine.flow(flow.id)).toBe(flow);
    flow.abort();
    flow.abort();
    expect((await flow.closed).reason).toBe('aborted');
    flow.abort();
    expect(flow.state).toBe('closed');
    expect(engine.flow(flow.id)).toBeUndefined();
    clear(a.far, b.far);
  });
});

describe('engine.close', () => {
  test('ends every flow; a second call waits for the same', async () => {
    const mine = await SpliceEngine.open();
    const [a, b] = await Promise.all([connectPair(), connectPair()]);
    const flow = await mine.splice(a.near, b.near);
    let ended = false;
    void flow.closed.then(() => (ended = true));
    await Promise.all([
      mine.close(),
      mine.close().then(() => {
        expect(ended).toBe(true);
      }),
    ]);
    expect((await flow.closed).reason).toBe('aborted');
    expect([...mine.flows()]).toEqual([]);
    await mine.close();
    clear(a.far, b.far);
  });

  test('while a splice waits for its reply to leave: the sockets stay with the caller', async () => {
    const mine = await SpliceEngine.open();
    const [a, b] = await Promise.all([connectPair(), connectPair()]);
    const reply = Buffer.alloc(16 * 1024 * 1024, 1);
    a.near.write(reply);
    const splicing = outcome(() => mine.splice(a.near, b.near, { replyBytes: reply.length }));
    await mine.close();
    const arrived = readBytes(a.far, reply.length);
    expect(await splicing).toBe(STATE);
    expect((await arrived).equals(reply)).toBe(true);
    await stillConnected(a.near, a.far);
    clear(a.near, a.far, b.near, b.far);
  });
});

describe('arguments that no state makes right', () => {
  // prettier-ignore
  const WRONG: readonly [string, Record<string, unknown>][] = [
    ['reply is text',                    { reply: 'HTTP/1.1 200' }],
    ['clientHead is an array',           { clientHead: [1, 2] }],
    ['replyBytes never written',         { replyBytes: 1 }],
    ['replyBytes negative',              { replyBytes: -1 }],
    ['idleTimeoutMs negative',           { idleTimeoutMs: -1 }],
    ['idleTimeoutMs not a number',       { idleTimeoutMs: NaN }],
    ['maxBytes negative',                { maxBytes: -1 }],
    ['maxBytes a fraction',              { maxBytes: 1.5 }],
    ['maxBytes infinite',                { maxBytes: Infinity }],
    ['direction without maxBytes',       { direction: 'up' }],
    ['direction sideways',               { direction: 'left', maxBytes: 1 }],
    ['head longer than the bound',       { maxBytes: 1, upstreamHead: new Uint8Array(2) }],
    ['head of the direction that stays', { maxBytes: 1, clientHead: new Uint8Array(1) }],
  ];
  test.each(WRONG)('%s', async (_what, options) => {
    const [a, b] = await Promise.all([connectPair(), connectPair()]);
    expect(await outcome(() => engine.splice(a.near, b.near, options))).toBe(ARGUMENT);
    await stillConnected(a.near, a.far);
    await stillConnected(b.near, b.far);
    clear(a.near, a.far, b.near, b.far);
  });

  // prettier-ignore
  const OPTIONS: readonly [string, Record<string, unknown>, string][] = [
    ['backend unknown',         { backend: 'carrier-pigeon' },  ARGUMENT],
    ['backend not built',       { backend: 'module' },          'ERR_SPLICE_BACKEND'],
    ['prefer unknown',          { prefer: 'both' },             ARGUMENT],
    ['relayThreads 0',          { relayThreads: 0 },            ARGUMENT],
    ['relayThreads a fraction', { relayThreads: 1.5 },          ARGUMENT],
    ['pipeSize too small',      { pipeSize: 4096 },             ARGUMENT],
    ['spliceAfter negative',    { spliceAfter: -1 },            ARGUMENT],
    ['idleTimeoutMs text',      { idleTimeoutMs: '1s' },        ARGUMENT],
  ];
  test.each(OPTIONS)('open: %s', async (_what, options, code) => {
    expect(await outcome(() => SpliceEngine.open(options))).toBe(code);
  });
});
