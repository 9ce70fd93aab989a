// What the Vagrantfile's machines are made of: scripts/provision makes hosts of the lab into client, proxy and server, on the
// addresses that the Vagrantfile gives, and runs the benchmark's program in the built tree. Its step `install` needs the
// registries and is not run here; what it calls, scripts/setup, npm ci and scripts/build, is what led to this test.
import t from 'tap';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { startAgent } from '../support/agent-client.js';
import type { Host } from '../support/lab.js';
import { withLab } from '../support/packet-group.js';

const port = 7000;

await withLab(async (lab) => {
  const { cli, prx, srv } = lab;
  for (const [host, device, address] of [
    [cli, 'c', '10.78.1.1/24'],
    [prx, 'c', '10.78.1.2/24'],
    [prx, 's', '10.78.2.2/24'],
    [srv, 's', '10.78.2.3/24'],
  ] as const) {
    host.ip('addr', 'add', address, 'dev', device);
  }
  const provision = async (host: Host, ...args: string[]): Promise<{ code: number | null; said: string }> => {
    const { code, stdout, stderr } = await host.exec('sh', ['scripts/provision', ...args], {
      env: { SYMSPLICE_TREE: process.cwd() },
    });
    return { code, said: stdout.toString() + stderr };
  };

  await t.test(
    'network: the three know each other, and the way leads through the proxy host; twice is once',
    async (t) => {
      for (const round of [1, 2]) {
        for (const [host, role] of [
          [cli, 'client'],
          [prx, 'proxy'],
          [srv, 'server'],
        ] as const) {
          const file = `/etc/netns/${host.namespace}/hosts`;
          // What Vagrant writes when it sets the name of a machine.
          appendFileSync(file, `127.0.2.1 ${role} ${role}\n`);
          t.match(await provision(host, 'network', role), { code: 0 }, `${role}, round ${round}`);
          const hosts = readFileSync(file, 'utf8');
          t.notMatch(hosts, '127.0.2.1');
          t.equal(hosts.split('\n').filter((line) => line.endsWith('# symsplice')).length, 3, hosts);
        }
      }
      t.match(cli.ip('route', 'get', '10.78.2.3'), /via 10\.78\.1\.2 /);
      t.match(srv.ip('route', 'get', '10.78.1.1'), /via 10\.78\.2\.2 /);
      const [client, server] = [startAgent(cli), startAgent(srv)];
      await server.listen({ host: '10.78.2.3', port, mode: 'echo' });
      const connection = await client.connect({ host: 'server', port });
      await client.write(connection, Buffer.from('through the proxy host'));
      t.equal((await client.read(connection, 22)).length, 22);
      await Promise.all([client.child.stop(), server.child.stop()]);
    },
  );

  await t.test('keys: one entry for ssh, however often', async (t) => {
    const keys = `${lab.directory}/keys`;
    mkdirSync(keys);
    writeFileSync(`${keys}/key`, 'the private part\n');
    writeFileSync(`${keys}/key.pub`, 'ssh-ed25519 AAAA symsplice\n');
    for (const round of [1, 2]) t.match(await provision(prx, 'keys', keys), { code: 0 }, `round ${round}`);
    const read = (name: string): string => readFileSync(`/root/.ssh/${name}`, 'utf8');
    t.equal(read('authorized_keys'), 'ssh-ed25519 AAAA symsplice\n');
    t.equal(read('config').match(/IdentityFile/g)?.length, 1);
    t.match(execFileSync('ls', ['-l', '/root/.ssh/symsplice'], { encoding: 'utf8' }), /^-rw-------/);
  });

  await t.test('measure: the benchmark runs where it was built, and says what it would do', async (t) => {
    const results = `${lab.directory}/results`;
    mkdirSync(results);
    writeFileSync(`${results}/report`, 'written by root\n');
    chownSync(results, 1234, 1235);
    const { code, said } = await provision(
      prx,
      'measure',
      results,
      'bench',
      '--quick',
      '--dry-run',
      '--only',
      'router,ours-packet',
    );
    t.equal(code, 0, said);
    t.match(said, /response-time/);
    // The directory is a user's of the machine outside, and so is then what is in it.
    t.match(statSync(`${results}/report`), { uid: 1234, gid: 1235 });
  });

  await t.test('a role that is none is refused', async (t) => {
    t.equal((await provision(prx, 'network', 'judge')).code, 2);
    t.equal((await provision(prx, 'dance')).code, 2);
  });
});
