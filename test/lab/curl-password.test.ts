// Username and password (RFC 1929), right, wrong and missing.
import { writeFileSync } from 'node:fs';
import { overBackends } from '../support/group.js';
import { isOurs } from '../support/proxy.js';
import { startNginx } from '../support/servers.js';

const credentials = { user: 'ada', password: 'correct horse' };

await overBackends(
  { proxy: () => ({ credentials, args: [] }) },
  async (lab) => {
    const web = await startNginx(lab);
    writeFileSync(`${web.root}/hello`, 'hello\n');
  },
  async ({ lab, backend, proxy, test }) => {
    const curl = (login: string | undefined, scheme = 'socks5h') =>
      lab.cli.exec('curl', [
        ...['-sS', '--max-time', '20', '--proxy', `${scheme}://${proxy.at()}`],
        ...(login === undefined ? [] : ['--proxy-user', login]),
        'http://v4only.lab/hello',
      ]);

    for (const scheme of ['socks5', 'socks5h']) {
      await test(`curl with ${scheme} and the right password gets through`, async (t) => {
        const { code, stdout, stderr } = await curl(`${credentials.user}:${credentials.password}`, scheme);
        t.equal(code, 0, stderr);
        t.equal(stdout.toString(), 'hello\n');
      });
    }
    for (const [what, login] of [
      ['a wrong password', 'ada:wrong'],
      ['an unknown user', 'eve:correct horse'],
      ['an empty password', 'ada:'],
      ['no password at all', undefined],
    ] as const) {
      await test(`${what} is turned away`, async (t) => {
        const { code, stdout } = await curl(login);
        t.equal(code, 97, 'curl says: proxy handshake error');
        t.equal(stdout.length, 0);
      });
    }
    if (!isOurs(backend)) return;
    await test('SOCKS4, which knows no passwords, is turned away', async (t) => {
      t.equal((await curl(undefined, 'socks4a')).code, 97);
    });
    await test('the access log names the user', async (t) => {
      const before = proxy.log().length;
      await curl(`${credentials.user}:${credentials.password}`);
      const line = await proxy.waitForLog((entry) => entry['target'] === 'v4only.lab:80', before);
      t.equal(line['user'], credentials.user);
    });
    await test('no password ever shows in the output of the proxy', async (t) => {
      t.notMatch(proxy.child.transcript(), credentials.password);
    });
  },
);
