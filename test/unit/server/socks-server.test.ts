/** One server over the loopback, from accept to teardown: its clocks, its limits, and the ways to end it. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Metrics } from '../../../src/control/metrics.js';
import { ConfigError } from '../../../src/errors.js';
import { loadConfig, type FlagValues } from '../../../src/server/config.js';
import { SocksServer } from '../../../src/server/socks-server.js';
import { hashPassword } from '../../../src/socks/users.js';
import { BACKENDS_UNDER_TEST } from '../../support/backends.js';
import {
  bytesOf,
  clear,
  descriptors,
  fateOf,
  hangingPort,
  portOf,
  readAll,
  readBytes,
  settled,
  until,
} from '../../support/flow-bed.js';
import { greeting5, password5, reply5, request4, request5 } from '../../support/socks-bytes.js';

let directory: string;
let echo: net.Server;
let target: number;
const servers: SocksServer[] = [];
const sockets: net.Socket[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'socks-server-'));
  echo = net.createServer({ allowHalfOpen: true }, (socket) => void socket.on('error', () => undefined).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  target = portOf(echo);
});
afterAll(async () => {
  echo.close();
  await rm(directory, { recursive: true });
});
afterEach(async () => {
  clear(...sockets.splice(0));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

interface Line {
  msg: string;
  level: number;
  [field: string]: unknown;
}

async function start(flags: FlagValues = {}) {
  const config = await loadConfig({ listen: ['0'], backend: 'splice', ...flags });
  const lines: Line[] = [];
  const stream = new PassThrough();
  stream.on('data', (text: Buffer) => {
    for (const line of text.toString().trim().split('\n')) lines.push(JSON.parse(line) as Line);
  });
  const metrics = new Metrics('test');
  const server = await SocksServer.start({
    config,
    logger: pino(stream),
    metrics,
    reload: () => Promise.resolve(config),
    inherited: [],
  });
  servers.push(server);
  const { port } = server.listening[0]!;
  const reasons = (): unknown[] => lines.filter(({ msg }) => msg === 'flow closed').map(({ reason }) => reason);
  return { server, config, metrics, lines, reasons, port };
}

async function dial(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Greets and asks for a target; the code of the reply. */
async function ask(socket: net.Socket, host = '127.0.0.1', port = target): Promise<number> {
  socket.write(Buffer.concat([greeting5(0), request5(host, port)]));
  const reply = await readBytes(socket, 12);
  return reply[3]!;
}

async function askAs(socket: net.Socket, user: string, password: string): Promise<number | 'denied'> {
  socket.write(greeting5(2));
  await readBytes(socket, 2);
  socket.write(password5(user, password));
  if ((await readBytes(socket, 2))[1] !== 0) return 'denied';
  socket.write(request5('127.0.0.1', target));
  return (await readBytes(socket, 10))[1]!;
}

async function echoes(socket: net.Socket, size = 100): Promise<void> {
  const sent = bytesOf(size);
  socket.write(sent);
  expect((await readBytes(socket, size)).equals(sent)).toBe(true);
}

const handshakes = async (server: SocksServer): Promise<number> => (await server.snapshot()).handshakes;
const flows = async (server: SocksServer): Promise<number> => (await server.snapshot()).flows.length;

describe.each(BACKENDS_UNDER_TEST.filter(({ options }) => options.spliceAfter === undefined))(
  'by $title',
  ({ name }) => {
    test('greeting, request and data in one segment, FIN included', async () => {
      const { port, server } = await start({ backend: name });
      const socket = await dial(port);
      socket.end(Buffer.concat([greeting5(0), request5('127.0.0.1', target), Buffer.from('with the request')]));
      const all = await readAll(socket);
      expect(all.subarray(12).toString()).toBe('with the request');
      await until('the flow is over', async () => (await flows(server)) === 0);
    });

    test('bulk, and the line in the log', async () => {
      const { port, lines } = await start({ backend: name });
      const socket = await dial(port);
      expect(await ask(socket)).toBe(reply5.succeeded);
      await echoes(socket, 3_000_000);
      socket.end();
      await readAll(socket);
      await until('the line is written', () => lines.some(({ msg }) => msg === 'flow closed'));
      expect(lines.find(({ msg }) => msg === 'flow closed')).toMatchObject({
        reason: 'end',
        backend: name,
        bytes_up: 3_000_000,
        bytes_down: 3_000_000,
        upstream: `127.0.0.1:${target}`,
      });
    });
  },
);

describe('clocks', () => {
  test.each([
    ['silent', Buffer.alloc(0)],
    ['half a greeting', greeting5(0).subarray(0, 2)],
    ['half a request', Buffer.concat([greeting5(0), request5('127.0.0.1', 80).subarray(0, 6)])],
  ])('a handshake that does not end: %s', async (_what, bytes) => {
    const { port, reasons, server } = await start({ handshakeTimeout: '150ms' });
    const socket = await dial(port);
    if (bytes.length > 0) socket.write(bytes);
    expect(await fateOf(socket)).toBe('ECONNRESET');
    await until('it is logged', () => reasons().includes('handshake-timeout'));
    expect(await handshakes(server)).toBe(0);
  });

  test('a connect that hangs ends with the reply "time expired"', async () => {
    const hanging = await hangingPort();
    const { port, reasons } = await start({ connectTimeout: '200ms' });
    const socket = await dial(port);
    expect(await ask(socket, '127.0.0.1', hanging.port)).toBe(reply5.ttlExpired);
    await until('it is logged', () => reasons().includes('timed-out'));
    hanging.dispose();
  });

  test('an idle flow', async () => {
    const { port, reasons } = await start({ idleTimeout: '150ms' });
    const socket = await dial(port);
    expect(await ask(socket)).toBe(reply5.succeeded);
    expect(await fateOf(socket)).toBe('ECONNRESET');
    await until('it is logged', () => reasons().includes('idle'));
  });

  test('a client that goes while its target is being connected to', async () => {
    const hanging = await hangingPort();
    const { port, reasons, server } = await start();
    const socket = await dial(port);
    socket.write(Buffer.concat([greeting5(0), request5('127.0.0.1', hanging.port)]));
    await until('it connects', async () => (await handshakes(server)) === 1);
    socket.resetAndDestroy();
    await until('it is logged', () => reasons().includes('client-gone'));
    expect(await handshakes(server)).toBe(0);
    hanging.dispose();
  });
});

describe('refusals', () => {
  test('a target that refuses', async () => {
    const nobody = net.createServer().listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const free = portOf(nobody);
    nobody.close();
    const { port, reasons } = await start();
    expect(await ask(await dial(port), '127.0.0.1', free)).toBe(reply5.refused);
    const old = await dial(port);
    old.write(request4('127.0.0.1', free));
    expect((await readBytes(old, 8))[1]).toBe(0x5b);
    await until('both are logged', () => reasons().filter((reason) => reason === 'refused').length === 2);
  });

  test('a target that resets at once is the network’s doing, not an error of ours', async () => {
    const rude = net.createServer((socket) => void socket.resetAndDestroy()).listen(0, '127.0.0.1');
    await once(rude, 'listening');
    const { port, lines } = await start();
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const socket = await dial(port);
        socket.write(Buffer.concat([greeting5(0), request5('127.0.0.1', portOf(rude))]));
        await fateOf(socket);
      }),
    );
    await until('all are logged', () => lines.filter(({ msg }) => msg === 'flow closed').length === 50);
    expect(lines.filter(({ level }) => level >= 50)).toEqual([]);
    rude.close();
  });

  test('a rule', async () => {
    const rules = join(directory, 'rules');
    await writeFile(rules, '- deny: { to: 127.0.0.0/8 }\n- allow: {}\n');
    const { port, reasons } = await start({ rules });
    expect(await ask(await dial(port))).toBe(reply5.denied);
    await until('it is logged', () => reasons().includes('denied'));
  });
});

describe('limits', () => {
  test('connections in all: one too many waits in the backlog, and gets its turn', async () => {
    const { port, server } = await start({ maxConnections: '2' });
    const [a, b, c] = [await dial(port), await dial(port), await dial(port)] as [net.Socket, net.Socket, net.Socket];
    expect([await ask(a), await ask(b)]).toEqual([0, 0]);
    const waiting = ask(c);
    expect(await settled(() => c.bytesRead, 100)).toBe(0);
    expect(await flows(server)).toBe(2);
    a.resetAndDestroy();
    expect(await waiting).toBe(0);
    await echoes(c);
    expect(await flows(server)).toBe(2);
  });

  test('a crowd at a server that has few seats: never more than those, and all are served', async () => {
    const { port, server } = await start({ maxConnections: '5' });
    let most = 0;
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const socket = await dial(port);
        expect(await ask(socket)).toBe(0);
        most = Math.max(most, await flows(server));
        await echoes(socket, 10);
        socket.end();
        await readAll(socket);
      }),
    );
    expect(most).toBeLessThanOrEqual(5);
    await until('all have left', async () => (await flows(server)) === 0);
  });

  test('per client', async () => {
    const { port, metrics } = await start({ maxPerClient: '2' });
    const [a, b] = [await dial(port), await dial(port)] as [net.Socket, net.Socket];
    expect([await ask(a), await ask(b)]).toEqual([0, 0]);
    const third = net.connect(port, '127.0.0.1');
    expect(await fateOf(third)).toBe('ECONNRESET');
    expect(metrics.numbers.limited.get('client')).toBe(1);
    a.resetAndDestroy();
    await until('there is room', async () => {
      const code = dial(port).then(ask);
      return (await code.catch(() => -1)) === 0;
    });
  });

  test('per user, and the users file changes under way', async () => {
    const users = join(directory, 'users');
    await writeFile(users, `ann:${await hashPassword('one')}\n`);
    const { port, metrics } = await start({ users, maxPerUser: '1' });
    const first = await dial(port);
    expect(await askAs(first, 'ann', 'one')).toBe(0);
    expect(await askAs(await dial(port), 'ann', 'one')).not.toBe(0);
    expect(metrics.numbers.limited.get('user')).toBe(1);
    expect(await askAs(await dial(port), 'ann', 'wrong')).toBe('denied');
    await writeFile(users, `bob:${await hashPassword('two')}\n`);
    await until('bob may come', async () => (await askAs(await dial(port), 'bob', 'two')) === 0);
    expect(await askAs(await dial(port), 'ann', 'one')).toBe('denied');
    // Who is inside stays inside.
    await echoes(first);
  });
});

describe('endings', () => {
  test('drain: nobody new, the old ones finish, then it is done', async () => {
    const { port, server } = await start();
    const socket = await dial(port);
    expect(await ask(socket)).toBe(0);
    let drained = false;
    const draining = server.drain().then(() => (drained = true));
    await expect(dial(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await echoes(socket);
    expect(drained).toBe(false);
    socket.end();
    await readAll(socket);
    await draining;
  });

  test('drain gives up after its time; stop in the middle of it ends everything', async () => {
    const short = await start({ drainTimeout: '100ms' });
    expect(await ask(await dial(short.port))).toBe(0);
    await short.server.drain();

    const long = await start({ drainTimeout: '1h' });
    const socket = await dial(long.port);
    expect(await ask(socket)).toBe(0);
    const fate = fateOf(socket);
    const draining = long.server.drain();
    await Promise.all([long.server.stop(), long.server.stop()]);
    await draining;
    expect(await fate).toBe('ECONNRESET');
    expect(long.reasons()).toEqual(['aborted']);
  });

  test('stop in the middle of everything: each writes its line, and nothing stays behind', async () => {
    await settled(() => descriptors().sockets, 100);
    const before = descriptors();
    const hanging = await hangingPort();
    const { port, server, reasons } = await start();
    const silent = await dial(port);
    const [connecting, relayed, lingering] = [await dial(port), await dial(port), await dial(port)] as const;
    connecting.write(Buffer.concat([greeting5(0), request5('127.0.0.1', hanging.port)]));
    expect(await ask(relayed)).toBe(0);
    lingering.write('nonsense that lingers');
    await until('all are where they should be', async () => (await handshakes(server)) === 2 && reasons().length === 1);
    await server.stop();
    expect(reasons().sort()).toEqual(['aborted', 'shutdown', 'shutdown', 'unknown-protocol']);
    expect(await handshakes(server)).toBe(0);
    hanging.dispose();
    clear(silent, connecting, relayed, lingering);
    await until('all sockets are closed', () => descriptors().sockets <= before.sockets);
  });

  test('a port that is taken: the start fails and holds nothing', async () => {
    const before = await settled(() => descriptors().all, 100);
    await expect(start({ listen: [String(target)] })).rejects.toMatchObject({ code: 'ERR_SPLICE_LISTEN' });
    await expect(start({ users: join(directory, 'nowhere') })).rejects.toBeInstanceOf(ConfigError);
    await until('all is closed', () => descriptors().all <= before);
  });
});

describe('reload', () => {
  test('takes what can change', async () => {
    const { port, server } = await start();
    const inside = await dial(port);
    expect(await ask(inside)).toBe(0);
    const rules = join(directory, 'reload-rules');
    await writeFile(rules, '- deny: {}\n');
    await server.reload(await loadConfig({ listen: ['0'], rules }));
    expect(await ask(await dial(port))).toBe(reply5.denied);
    await server.reload(await loadConfig({ listen: ['0'], handshakeTimeout: '100ms' }));
    expect(await fateOf(await dial(port))).toBe('ECONNRESET');
    await echoes(inside);
  });

  test('that takes the users away makes nobody true whose password was wrong', async () => {
    const users = join(directory, 'reload-users');
    await writeFile(users, `ann:${await hashPassword('one')}\n`);
    const { port, server } = await start({ users });
    const socket = await dial(port);
    socket.write(greeting5(2));
    await readBytes(socket, 2);
    await server.reload(await loadConfig({ listen: ['0'] }));
    socket.write(password5('ann', 'wrong'));
    expect((await readBytes(socket, 2))[1]).not.toBe(0);
  });

  test('refuses as a whole', async () => {
    const { port, server } = await start();
    const rules = join(directory, 'broken-rules');
    await writeFile(rules, '- deny: { too: all }\n');
    await expect(server.reload(await loadConfig({ listen: ['0'], rules, maxPerClient: '1' }))).rejects.toBeInstanceOf(
      ConfigError,
    );
    expect([await ask(await dial(port)), await ask(await dial(port))]).toEqual([0, 0]);
  });
});

test('2,000 connections in every state leave nothing behind', async () => {
  const { port, server } = await start();
  await settled(() => descriptors().sockets, 100);
  const before = descriptors();
  const endings = ['fin', 'reset', 'half', 'nonsense', 'full'] as const;
  const one = async (index: number): Promise<void> => {
    const socket = await dial(port);
    switch (endings[index % endings.length]) {
      case 'fin':
        socket.end(greeting5(0).subarray(0, 1));
        break;
      case 'reset':
        socket.write(Buffer.concat([greeting5(0), request5('127.0.0.1', target)]));
        socket.resetAndDestroy();
        break;
      case 'half':
        socket.write(greeting5(0));
        await readBytes(socket, 2);
        socket.destroy();
        break;
      case 'nonsense':
        socket.end('GET / HTTP/1.1\r\n\r\n');
        await readAll(socket).catch(() => undefined);
        break;
      default:
        expect(await ask(socket)).toBe(0);
        await echoes(socket, 1000);
        socket.end();
        await readAll(socket);
    }
    socket.destroy();
  };
  for (let i = 0; i < 2000; i += 100) await Promise.all(Array.from({ length: 100 }, (_, k) => one(i + k)));
  sockets.length = 0;
  await until('all have left', async () => {
    const { handshakes: open, flows: live } = await server.snapshot();
    return open === 0 && live.length === 0 && descriptors().sockets <= before.sockets;
  });
});
