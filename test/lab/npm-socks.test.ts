// The npm package `socks`, as Node programs use it.
import { fileURLToPath } from 'node:url';
import { address } from '../support/lab.js';
import { overBackends } from '../support/group.js';

const program = fileURLToPath(new URL('../support/npm-socks.js', import.meta.url));

await overBackends(
  {},
  (_lab, server) => server.listen({ host: '::', port: 7000, mode: 'echo' }),
  async ({ lab, backend, proxy, test }) => {
    for (const [what, type, host] of [
      ['SOCKS5 with an IPv4 address', '5', address.server4],
      ['SOCKS5 with an IPv6 address', '5', address.server6],
      ['SOCKS5 with a name', '5', 'behind.lab'],
      ['SOCKS4 with an IPv4 address', '4', address.server4],
      ['SOCKS4a with a name', '4', 'behind.lab'],
    ] as const) {
      if (type === '4' && backend === 'microsocks') continue;
      await test(`the npm socks client speaks ${what}`, async (t) => {
        const text = `echo of ${what}`;
        const args = [program, address.proxy4, String(proxy.port), type, host, '7000', text];
        const { code, stdout, stderr } = await lab.cli.exec(process.execPath, args);
        t.equal(code, 0, stderr);
        t.equal(stdout.toString(), text);
      });
    }
  },
);
