// A gigabyte each way, checked by its sha256, and several transfers side by side.
import { rmSync } from 'node:fs';
import path from 'node:path';
import { overBackends } from '../support/group.js';
import { startNginx, writeRandomFile } from '../support/servers.js';

const gibibyte = 2 ** 30;

await overBackends(
  { limitMs: 120_000 },
  async (lab) => {
    const web = await startNginx(lab);
    const big = path.join(web.root, 'big');
    return {
      big,
      uploads: web.uploads,
      sum: writeRandomFile(big, gibibyte),
      smallSum: writeRandomFile(path.join(web.root, 'small'), 2 ** 26),
    };
  },
  async ({ lab, proxy, test }, { big, uploads, sum, smallSum }) => {
    const curl = `exec curl -sS --fail --max-time 110 --proxy socks5h://${proxy.at()}`;
    const shell = (script: string) => lab.cli.exec('sh', ['-c', script], { limitMs: 115_000 });
    const sumOf = async (script: string): Promise<string> => {
      const { stdout, stderr } = await shell(`${script} | sha256sum`);
      return stdout.toString().split(' ')[0] + stderr;
    };

    await test('curl downloads 1 GB and not a byte is wrong', async (t) => {
      t.equal(await sumOf(`${curl} http://v4only.lab/big`), sum);
    });

    await test('curl uploads 1 GB and not a byte is wrong', async (t) => {
      const { code, stderr } = await shell(`${curl} -T ${big} http://v4only.lab/up/big`);
      t.equal(code, 0, stderr);
      t.equal(await sumOf(`cat ${uploads}/big`), sum);
      rmSync(`${uploads}/big`, { force: true });
    });

    await test('eight downloads of 64 MB at once are all right', async (t) => {
      const one = `${curl} http://v4only.lab/small`;
      const sums = await Promise.all(Array.from({ length: 8 }, () => sumOf(one)));
      t.same(sums, Array<string>(8).fill(smallSum));
    });

    await test('downloads and uploads at once do not disturb each other', async (t) => {
      const small = path.join(path.dirname(big), 'small');
      const up = Array.from({ length: 3 }, async (_, index) => {
        await shell(`${curl} -T ${small} http://v4only.lab/up/${index}`);
        return sumOf(`cat ${uploads}/${index}`);
      });
      const down = Array.from({ length: 3 }, () => sumOf(`${curl} http://v6only.lab/small`));
      t.same(await Promise.all([...up, ...down]), Array<string>(6).fill(smallSum));
    });
  },
);
