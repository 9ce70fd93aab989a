// The PROXY protocol before splice-http and behind it: who the client is, and that nobody else may say so.
import t from 'tap';
import { patient } from '../support/children.js';
import { ask, RawClient, requestBytes } from '../support/http-client.js';
import { Origin } from '../support/http-origin.js';
import { httpGroup, startHttp } from '../support/http-proxy.js';
import type { ByteStream } from '../support/byte-stream.js';

const noStore = ['Cache-Control', 'no-store'] as const;
const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** Version 2: command 1 is PROXY, 0 is LOCAL. */
function header2(command: number, family: number, addresses: Buffer): Buffer {
  const rest = Buffer.from([0x20 | command, family, addresses.length >> 8, addresses.length & 255]);
  return Buffer.concat([SIGNATURE, rest, addresses]);
}

const v4 = Buffer.from([203, 0, 113, 7, 192, 0, 2, 1, 0x30, 0x39, 0, 80]);
const v6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000009', 'hex'),
  Buffer.alloc(16),
  Buffer.from([0x30, 0x39, 0, 80]),
]);
/** A TLV of a type that nobody knows. */
const tlv = Buffer.from([0xee, 0, 3, 1, 2, 3]);

const before = ['--proxy-protocol', '--trust', '127.0.0.1', '--head-timeout', '2s'];
await httpGroup('in front', { args: before }, async ({ origin, proxy, test }) => {
  origin.on('*', (reply, request) => reply.answer(200, [noStore], request.get('x-forwarded-for') ?? 'nobody'));

  for (const [what, header, client] of [
    ['version 1, IPv4', 'PROXY TCP4 203.0.113.7 192.0.2.1 12345 80\r\n', '203.0.113.7'],
    ['version 1, IPv6', 'PROXY TCP6 2001:db8::9 2001:db8::1 12345 80\r\n', '2001:db8::9'],
    ['version 1, unknown', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
    ['version 1, unknown with addresses', 'PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', '127.0.0.1'],
    ['version 2, IPv4', header2(1, 0x11, v4), '203.0.113.7'],
    ['version 2, IPv6', header2(1, 0x21, v6), '2001:db8::9'],
    ['version 2 with more behind the addresses', header2(1, 0x11, Buffer.concat([v4, tlv])), '203.0.113.7'],
    ['version 2, local', header2(0, 0, Buffer.alloc(0)), '127.0.0.1'],
  ] as const) {
    for (const cut of [false, true]) {
      await test(`${what}${cut ? ', byte by byte' : ''}: the client is who it names`, async (t) => {
        const connection = await RawClient.connect(proxy.port);
        const bytes = Buffer.concat([Buffer.from(header), requestBytes('/')]);
        if (cut) {
          for (const byte of bytes) {
            connection.send(Buffer.of(byte));
            await new Promise(setImmediate);
          }
        } else connection.send(bytes);
        t.equal((await connection.answer()).body.toString(), client);
        connection.request('/again');
        t.equal((await connection.answer()).body.toString(), client, 'for the whole connection');
        connection.close();
      });
    }
  }

  for (const [what, bytes] of [
    ['no header', requestBytes('/')],
    ['version 3', Buffer.concat([SIGNATURE, Buffer.from([0x31, 0x11, 0, 12]), v4, requestBytes('/')])],
    ['a wrong address', `PROXY TCP4 203.0.113.777 192.0.2.1 12345 80\r\n${requestBytes('/').toString()}`],
    ['a wrong port', `PROXY TCP4 203.0.113.7 192.0.2.1 99999 80\r\n${requestBytes('/').toString()}`],
    ['the wrong family', `PROXY TCP4 2001:db8::9 2001:db8::1 12345 80\r\n${requestBytes('/').toString()}`],
    ['LF alone', `PROXY TCP4 203.0.113.7 192.0.2.1 12345 80\n${requestBytes('/').toString()}`],
    ['a line without end', `PROXY TCP4 ${'1'.repeat(5000)}`],
    ['a header that is too short', Buffer.concat([header2(1, 0x11, v4.subarray(0, 8)), requestBytes('/')])],
  ] as const) {
    await test(`${what}: no request is heard`, async (t) => {
      const seen = origin.requests.length;
      const connection = await RawClient.connect(proxy.port);
      connection.send(bytes);
      t.notMatch((await connection.rest()).bytes.toString('latin1'), 'HTTP/1.1 200');
      t.equal(origin.requests.length, seen);
      connection.close();
    });
  }

  await test('one who is not trusted sends none, and cannot say who it is', async (t) => {
    const response = await ask(proxy.port, '/', { from: '127.0.0.9', fields: [['X-Forwarded-For', '203.0.113.1']] });
    t.equal(response.body.toString(), '127.0.0.9');
    const liar = await RawClient.connect(proxy.port, { from: '127.0.0.9' });
    liar.send('PROXY TCP4 203.0.113.7 192.0.2.1 12345 80\r\n');
    liar.request('/');
    t.ok((await liar.answer()).status >= 400);
    liar.close();
  });
});

/** Reads a header of version 1 or 2: its text, or its bytes as far as the addresses. */
async function preface(stream: ByteStream): Promise<string> {
  const first = await stream.bytes(12);
  if (!first.equals(SIGNATURE)) return `${first.toString()}${(await stream.until('\r\n'))?.toString() ?? ''}`;
  const rest = await stream.bytes(4);
  const addresses = await stream.bytes(rest.readUInt16BE(2));
  return `${rest[0]} ${rest[1]} ${[...addresses.subarray(0, 4)].join('.')} ${addresses.readUInt16BE(8)}`;
}

for (const version of [1, 2]) {
  await t.test(`behind, version ${version}`, { timeout: patient(60_000) }, async (t) => {
    const origin = await Origin.start({ preface });
    origin.on('*', (reply, request) => reply.answer(200, [noStore], `${request.connection}`));
    const proxy = await startHttp({ args: ['--origin', origin.url, '--origin-proxy-protocol', `${version}`] });
    const first = await RawClient.connect(proxy.port, { from: '127.0.0.5' });
    const second = await RawClient.connect(proxy.port, { from: '127.0.0.6' });
    const ports = [first, second].map((client) => client.socket.localPort);
    for (let round = 0; round < 3; round++) {
      for (const [index, client] of [first, second].entries()) {
        client.request('/');
        const number = Number((await client.answer()).body.toString());
        const from = `127.0.0.${5 + index}`;
        const expected =
          version === 1
            ? `PROXY TCP4 ${from} 127.0.0.1 ${ports[index]} ${proxy.port}\r\n`
            : `33 17 ${from} ${ports[index]}`;
        t.equal(origin.prefaces[number - 1], expected, 'no connection is shared by two clients');
      }
    }
    first.close();
    second.close();
    t.same(origin.faults, []);
    await proxy.child.stop();
    await origin.close();
  });
}
