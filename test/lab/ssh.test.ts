// An interactive ssh session with a terminal, and one that moves bytes both ways.
import { createHash, randomBytes } from 'node:crypto';
import { overBackends } from '../support/group.js';
import { startSshd, throughNc } from '../support/servers.js';

await overBackends(
  {},
  (lab) => startSshd(lab),
  async ({ lab, proxy, test }, ssh) => {
    const args = [...ssh.clientArgs, '-o', throughNc(proxy.at())];

    await test('an interactive ssh session answers line by line and ends with its exit code', async (t) => {
      const session = lab.cli.spawn('ssh', ['-tt', ...args, ssh.destination, '/bin/sh']);
      // The terminal echoes what is typed; only the shell knows the results.
      for (let turn = 1; turn <= 20; turn++) {
        session.write(`echo turn $((${turn} * 1000 + ${turn}))\n`);
        await session.waitForOutput(new RegExp(`turn ${turn * 1001}\\b`));
      }
      session.write('exit 7\n');
      t.equal((await session.exited).code, 7);
    });

    await test('ssh carries 20 MB there and back unharmed', async (t) => {
      const data = randomBytes(20_000_000);
      const { code, stdout } = await lab.cli.exec('ssh', [...args, ssh.destination, 'cat'], { input: data });
      t.equal(code, 0);
      const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
      t.equal(sum(stdout), sum(data));
    });
  },
);
