// curl in all its SOCKS dialects, over IPv4 and IPv6, on the way to the proxy and beyond it.
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';
import { isOurs } from '../support/proxy.js';
import { startNginx } from '../support/servers.js';
import { writeFileSync } from 'node:fs';

const greeting = 'hello from srv\n';

await overBackends(
  {},
  async (lab) => {
    const web = await startNginx(lab);
    writeFileSync(`${web.root}/hello`, greeting);
  },
  async ({ lab, backend, proxy, test }) => {
    const curl = (scheme: string, host: string, way: 4 | 6 = 4, more: string[] = []) =>
      lab.cli.exec('curl', [
        '-sS',
        '--max-time',
        '20',
        '--proxy',
        `${scheme}://${proxy.at(way)}`,
        ...more,
        `http://${host}/hello`,
      ]);

    await test('without the proxy the client cannot reach the server', async (t) => {
      const { code } = await lab.cli.exec('curl', ['-sS', '--max-time', '1', `http://${address.server4}/hello`]);
      t.not(code, 0);
    });

    const cases: { scheme: string; host: string; what: string }[] = [
      { scheme: 'socks5', host: address.server4, what: 'SOCKS5 to an IPv4 address' },
      { scheme: 'socks5', host: `[${address.server6}]`, what: 'SOCKS5 to an IPv6 address' },
      { scheme: 'socks5', host: 'srv.lab', what: 'SOCKS5 to a name that curl resolves' },
      { scheme: 'socks5h', host: 'behind.lab', what: 'SOCKS5 to a name that only the proxy knows' },
      { scheme: 'socks5h', host: 'v4only.lab', what: 'SOCKS5 to a name with an IPv4 address only' },
      { scheme: 'socks5h', host: 'v6only.lab', what: 'SOCKS5 to a name with an IPv6 address only' },
      { scheme: 'socks5h', host: address.server4, what: 'SOCKS5 to an address handed over as it is' },
    ];
    if (backend !== 'microsocks') {
      cases.push(
        { scheme: 'socks4', host: address.server4, what: 'SOCKS4 to an IPv4 address' },
        { scheme: 'socks4a', host: 'behind.lab', what: 'SOCKS4a to a name that only the proxy knows' },
      );
      if (isOurs(backend))
        cases.push({ scheme: 'socks4a', host: 'v6only.lab', what: 'SOCKS4a to a name with an IPv6 address only' });
    }
    for (const { scheme, host, what } of cases) {
      for (const way of backend === 'danted' ? [4 as const] : [4 as const, 6 as const]) {
        await test(`curl speaks ${what}, reaching the proxy over IPv${way}`, async (t) => {
          const { code, stdout, stderr } = await curl(scheme, host, way);
          t.equal(code, 0, stderr);
          t.equal(stdout.toString(), greeting);
        });
      }
    }

    if (isOurs(backend)) {
      await test('a dead IPv6 address of a name does not keep the IPv4 one waiting', async (t) => {
        const { code, stdout, stderr } = await curl('socks5h', 'eyeballs.lab', 4, ['--max-time', '5']);
        t.equal(code, 0, stderr);
        t.equal(stdout.toString(), greeting);
      });
      await test('the access log names client, target, backend, bytes and reason of a flow', async (t) => {
        const before = proxy.log().length;
        const { code } = await curl('socks5h', 'behind.lab');
        t.equal(code, 0);
        const line = await proxy.waitForLog((entry) => entry['target'] === 'behind.lab:80', before);
        // A flow so short is over before packets would carry it.
        const carrier = backend === 'packet' ? 'splice' : backend;
        t.match(line, { client: /^10\.77\.1\.1:\d+$/, upstream: `${address.server4}:80`, backend: carrier });
        if (backend === 'packet') t.match(line['refused'], /^packet: young/);
        t.ok(Number(line['bytes_down']) >= greeting.length);
        t.ok(Number(line['bytes_up']) > 0);
        t.type(line['duration_ms'], 'number');
        t.type(line['reason'], 'string');
      });
    }
  },
);
