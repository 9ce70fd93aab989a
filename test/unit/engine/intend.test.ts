/** What intendSplice asks the packet backend for, and that connections stand also where it has nothing to give. */
import { once } from 'node:events';
import { Socket, createServer, connect, type AddressInfo, type Server } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toEndpoint } from '../../../src/engine/endpoint.js';
import { prepareUpstream } from '../../../src/engine/intend.js';
import { native, type Packet } from '../../../src/native.js';
import { FakeMachine } from './fake-packet.js';

let server: Server;
let sockets: Socket[];
let port: number;
let asked: string[];
let packet: Packet;

beforeEach(async () => {
  sockets = [];
  asked = [];
  server = createServer((socket) => sockets.push(socket)).listen(0, '::');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
  packet = {
    ...new FakeMachine().packet,
    socket: (client, host, to) => {
      asked.push(`socket ${client >= 0} ${host} ${to === port}`);
      return -98;
    },
    intend: (client, upstream, host, to) => {
      asked.push(`intend ${client >= 0} ${upstream >= 0} ${host} ${to}`);
      return 0;
    },
  };
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

const connected = async (): Promise<Socket> => {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
};

const prepared = async (upstream: Socket): Promise<void> => {
  sockets.push(upstream);
  prepareUpstream(packet, toEndpoint(await clientSocket, 'client'), toEndpoint(upstream, 'upstream'), undefined);
  await once(upstream, 'connect');
};
let clientSocket: Promise<Socket>;
beforeEach(() => void (clientSocket = connected()));

test('a socket that connects to an address, just before it does', async () => {
  await clientSocket;
  await prepared(connect(port, '127.0.0.1'));
  expect(asked).toEqual(['socket true 127.0.0.1 true']);
});

test('a socket that looks a name up first, for each address that is tried', async () => {
  await clientSocket;
  await prepared(connect(port, 'localhost'));
  expect(asked.length).toBeGreaterThan(0);
  for (const question of asked) expect(question).toMatch(/^socket true (127\.0\.0\.1|::1) true$/);
});

test('a socket that is not connecting yet', async () => {
  await clientSocket;
  const upstream = new Socket();
  const done = prepared(upstream);
  upstream.connect(port, '127.0.0.1');
  await done;
  expect(asked).toHaveLength(1);
});

test('one that its caller has bound keeps its port, and one that is connected is left alone', async () => {
  await clientSocket;
  await prepared(connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }));
  prepareUpstream(packet, toEndpoint(await clientSocket, 'c'), toEndpoint(await connected(), 'u'), undefined);
  expect(asked).toEqual([]);
  expect(sockets.some(({ localAddress }) => localAddress === '127.0.0.2')).toBe(true);
});

test('a raw descriptor, when it is said where it goes and it is not there yet', async () => {
  const client = toEndpoint(await clientSocket, 'client');
  const listening = native().listen('127.0.0.1', 0, 1, false);
  try {
    const upstream = toEndpoint(listening, 'upstream');
    prepareUpstream(packet, client, upstream, undefined);
    expect(asked).toEqual([]);
    prepareUpstream(packet, client, upstream, { host: '192.0.2.1', port: 80 });
    expect(asked).toEqual(['intend true true 192.0.2.1 80']);
  } finally {
    native().close(listening);
  }
});

test('no listener of ours stays on the socket', async () => {
  await clientSocket;
  const upstream = connect(port, '127.0.0.1');
  await prepared(upstream);
  expect(upstream.listenerCount('connectionAttempt')).toBe(0);
});
