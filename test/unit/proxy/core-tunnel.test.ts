/** CONNECT and upgrades: whatever is in a buffer when the connection stops to be HTTP belongs to the tunnel. */
import { describe, expect, test } from 'vitest';
import { hangingPort, until } from '../../support/flow-bed.js';
import { front, get, request, response, type Front } from './front-bed.js';

const upgrade = get('/ws', 'Upgrade: websocket', 'Connection: Upgrade');
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

describe('an upgrade', () => {
  test('with bytes in every buffer', async () => {
    const bed = await front();
    const client = await bed.client(`${upgrade}client first`);
    const origin = await bed.origin();
    expect(await origin.head()).toMatch(/upgrade: websocket/i);
    origin.write(`${SWITCHED}server first`);
    expect(await client.head()).toMatch(/^HTTP\/1.1 101 .*upgrade: websocket/is);
    expect(await client.bytes(12)).toBe('server first');
    expect(await origin.bytes(12)).toBe('client first');
    client.write('ping');
    expect(await origin.bytes(4)).toBe('ping');
    origin.write('pong');
    expect(await client.bytes(4)).toBe('pong');
    expect(bed.left).toMatchObject({ connections: 0, tunnels: 1, busy: 0 });
    client.end();
    await origin.untilOver();
    origin.end();
    await client.untilOver();
    await bed.done();
    const { accepted, backends } = bed.metrics.numbers;
    expect(accepted).toBe(1);
    expect([...backends]).toMatchObject([['splice', { opened: 1, bytesUp: 16, bytesDown: 16 }]]);
  });

  test('behind content, which is whole', async () => {
    const bed = await front({ noCache: true });
    const client = await bed.client(
      request('POST', '/ws', 'Upgrade: websocket', 'Connection: Upgrade', 'Content-Length: 4') + 'fourclient first',
    );
    const origin = await bed.origin();
    await origin.head();
    expect(await origin.bytes(4)).toBe('four');
    origin.write(SWITCHED);
    await client.head();
    expect(await origin.bytes(12)).toBe('client first');
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('that is declined is an answer like any other', async () => {
    const bed = await front();
    const client = await bed.client(upgrade + get('/b'));
    const origin = await bed.origin();
    await origin.head();
    origin.write(response(200, 'no'));
    expect((await client.response()).content).toBe('no');
    expect(await origin.head()).toMatch(/^GET \/b /);
    origin.write(response(200, 'b'));
    expect((await client.response()).content).toBe('b');
    await bed.done();
  });

  test.each(['h2c', 'websocket, h2c', 'HTTP/2.0'])('to %s is not passed on', async (protocols) => {
    const bed = await front({ noCache: true });
    const client = await bed.client(
      get('/ws', `Upgrade: ${protocols}`, 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AA'),
    );
    const origin = await bed.origin();
    expect(await origin.head()).not.toMatch(/upgrade|http2-settings/i);
    origin.write(response(200, 'no'));
    expect((await client.response()).content).toBe('no');
    await bed.done();
  });

  test('ends with the server', async () => {
    const bed = await front();
    const client = await bed.client(upgrade);
    const origin = await bed.origin();
    await origin.head();
    origin.write(SWITCHED);
    await client.head();
    await bed.server.stop();
    await Promise.all([client.untilOver(), origin.untilOver()]);
    expect(bed.left).toMatchObject({ requests: 0, tunnels: 0 });
  });
});

describe('CONNECT', () => {
  const connect = (port: number): string => `CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  const proxy = (): Promise<Front> =>
    front({ forward: true, open: true, origin: undefined }, (port) => ({ connectPorts: [String(port)] }));

  test('with bytes behind the head', async () => {
    const bed = await proxy();
    const client = await bed.client(`${connect(bed.originPort)}client first`);
    const origin = await bed.origin();
    expect(await client.head()).toMatch(/^HTTP\/1.1 200 /);
    expect(await origin.bytes(12)).toBe('client first');
    origin.write('server');
    expect(await client.bytes(6)).toBe('server');
    expect(bed.left).toMatchObject({ connections: 0, tunnels: 1, busy: 0 });
    origin.end();
    await client.untilOver();
    client.end();
    await bed.done();
  });

  test('behind an answer of the same connection', async () => {
    const bed = await proxy();
    const own = `http://127.0.0.1:${bed.originPort}`;
    const client = await bed.client(`GET ${own}/a HTTP/1.1\r\nHost: x\r\n\r\n${connect(bed.originPort)}`);
    const first = await bed.origin();
    await first.head();
    first.write(response(200, 'a'));
    expect((await client.response()).content).toBe('a');
    const origin = await bed.origin();
    expect(await client.head()).toMatch(/^HTTP\/1.1 200 /);
    origin.write('server');
    expect(await client.bytes(6)).toBe('server');
    client.reset();
    await origin.untilOver();
    await bed.done();
  });

  test('to nobody is a bad gateway, and the connection goes on', async () => {
    const bed = await front({ forward: true, open: true, origin: undefined, connectPorts: ['1'] });
    const client = await bed.client(connect(1) + connect(2));
    expect((await client.response()).status).toBe(502);
    expect((await client.response()).status).toBe(403);
    await bed.done();
  });

  test('a client that goes while it is connected', async () => {
    const hanging = await hangingPort();
    try {
      const bed = await front({ forward: true, open: true, origin: undefined, connectPorts: [String(hanging.port)] });
      const client = await bed.client(connect(hanging.port));
      await until('it connects', () => bed.left.connecting === 1);
      client.reset();
      await bed.done();
    } finally {
      hanging.dispose();
    }
  });

  test('is not for a reverse proxy', async () => {
    const bed = await front();
    const client = await bed.client(connect(bed.originPort));
    expect((await client.response()).status).toBe(405);
    await bed.done();
  });
});
