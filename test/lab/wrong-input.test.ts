// Wrong input of every kind: the proxy closes, survives, and serves the next one.
import { randomBytes } from 'node:crypto';
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';
import { connectToProxy, open5 } from '../support/handshake.js';
import { isOurs } from '../support/proxy.js';
import { greeting5, request4, request5 } from '../support/socks-bytes.js';

const port = 7000;
const request = request5(address.server4, port);
const clientHello = Buffer.from('160301004a010000460303', 'hex');

const nonsense: readonly (readonly [string, Buffer])[] = [
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: srv.lab\r\n\r\n')],
  ['an HTTP CONNECT', Buffer.from('CONNECT srv.lab:443 HTTP/1.1\r\n\r\n')],
  ['a TLS hello', Buffer.concat([clientHello, randomBytes(64)])],
  ['zeros', Buffer.alloc(1000)],
  ['0xff bytes', Buffer.alloc(1000, 0xff)],
  ['a greeting without methods', Buffer.from([5, 0])],
  ['a request of a wrong version', Buffer.concat([greeting5(0), Buffer.from([4]), request.subarray(1)])],
  ['an empty name', Buffer.concat([greeting5(0), Buffer.from([5, 1, 0, 3, 0, 0, 80])])],
  ['a name with a zero byte', Buffer.concat([greeting5(0), Buffer.from([5, 1, 0, 3, 3, 97, 0, 98, 0, 80])])],
  ['port 0', Buffer.concat([greeting5(0), request5(address.server4, 0)])],
  ['a SOCKS4 BIND', Buffer.from([4, 2, 0, 80, 10, 77, 2, 3, 0])],
  [
    'a SOCKS4 user name without end',
    Buffer.concat([Buffer.from([4, 1, 0, 80, 10, 77, 2, 3]), Buffer.alloc(70_000, 65)]),
  ],
];

await overBackends(
  { proxy: (_lab, backend) => ({ args: isOurs(backend) ? ['--open', '--handshake-timeout', '2s'] : [] }) },
  (_lab, server) => server.listen({ host: '::', port, mode: 'echo' }),
  async ({ backend, client, proxy, test }) => {
    const works = async (): Promise<boolean> => {
      const id = await open5(client, proxy, address.server4, port);
      await client.write(id, Buffer.from('hello'));
      const echoed = await client.read(id, 5);
      await client.reset(id);
      return echoed.length === 5;
    };

    for (const [what, bytes] of nonsense) {
      await test(`${what} ends the connection and harms nobody`, async (t) => {
        const id = await connectToProxy(client, proxy);
        // The proxy may close before it has all of it.
        await client.write(id, bytes).catch(() => undefined);
        if (!isOurs(backend)) await client.end(id);
        const { how } = await client.ending(id);
        t.match(how, /^(end|error)$/);
        await client.reset(id);
        t.ok(await works());
      });
    }

    await test('a handshake cut off after any number of bytes harms nobody', async (t) => {
      for (const whole of [Buffer.concat([greeting5(0), request]), request4('srv.lab', port, 'u')]) {
        for (let length = 0; length < whole.length; length++) {
          for (const close of ['end', 'reset'] as const) {
            const id = await connectToProxy(client, proxy);
            if (length > 0) await client.write(id, whole.subarray(0, length));
            await client[close](id);
            if (close === 'end') await client.ending(id);
            await client.reset(id);
          }
        }
      }
      t.ok(await works());
    });

    await test('500 connections of random bytes harm nobody', async (t) => {
      for (let at = 0; at < 500; at += 25) {
        await Promise.all(
          Array.from({ length: 25 }, async (_, index) => {
            const id = await connectToProxy(client, proxy);
            const bytes = randomBytes(1 + ((at + index) % 300));
            // Half of them look like SOCKS at first sight.
            if (index % 2 === 0) bytes[0] = index % 4 === 0 ? 5 : 4;
            await client.write(id, bytes).catch(() => undefined);
            await client.end(id);
            await client.reset(id);
          }),
        );
      }
      t.ok(await works());
    });

    if (!isOurs(backend)) return;
    await test('a browser that takes the port for a web server is told what it is', async (t) => {
      const id = await connectToProxy(client, proxy);
      await client.write(id, Buffer.from('GET / HTTP/1.1\r\nHost: srv.lab\r\n\r\n'));
      const answer = Buffer.from(await client.readAll(id)).toString();
      t.match(answer, /^HTTP\/1\.1 400 /);
      t.match(answer, /SOCKS/);
      await client.end(id);
    });
  },
);
