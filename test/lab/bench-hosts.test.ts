// The benchmark's hosts: three machines by ssh, for which the lab's hosts stand in, and three namespaces of its own.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { eventually, patient } from '../support/children.js';
import { address, Lab } from '../support/lab.js';

t.setTimeout(3_600_000);

// What is used of src/bench: tests of this ring are built apart from it.
interface Running {
  readonly pid: number;
  readonly ended: boolean;
  tail(): string;
  stop(): Promise<void>;
}
interface BenchHost {
  readonly links: Record<string, string | undefined>;
  readonly scratch: string;
  readonly bypassed?: string;
  run(command: readonly string[]): Promise<{ out: string; err: string; code: number | null }>;
  start(command: readonly string[], options?: { env?: Record<string, string> }): Promise<Running>;
}
interface BenchLab {
  readonly client: BenchHost;
  readonly proxy: BenchHost;
  readonly server: BenchHost;
  readonly addresses: Record<string, unknown>;
  setLoss(share: number): Promise<void>;
  close(): Promise<void>;
}
type Open = (options: Record<string, unknown>) => Promise<BenchLab>;

const built = (name: string): string => pathToFileURL(path.resolve(`dist/bench/lab/${name}.js`)).href;
const { openRemoteHosts } = (await import(built('remote-hosts'))) as { openRemoteHosts: Open };
const { openNamespaces } = (await import(built('namespaces'))) as { openNamespaces: Open };

/**
 * ssh that reaches the lab's hosts: an sshd in the namespace is what it talks to, without a network between them. What
 * the home directory of whoever runs the tests makes shells do has no part in it, and is not killed in the middle of it.
 */
function sshInto(lab: Lab): string[] {
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const [host, user] = ['host', 'user'].map((name) => path.join(lab.directory, name));
  for (const key of [host, user]) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key!]);
  const sshd = execFileSync('which', ['sshd'], { encoding: 'utf8' }).trim();
  const settings = lab.file(
    'sshd_config',
    `HostKey ${host}
AuthorizedKeysFile ${user}.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
SetEnv HOME=${lab.directory}
LogLevel ERROR
`,
  );
  const places = [
    ['cli', address.client4],
    ['prx', address.proxy4],
    ['srv', address.server4],
  ] as const;
  const hosts = places.map(
    ([name, at]) => `Host ${name}
  HostName ${at}
  ProxyCommand ip netns exec ${lab[name].namespace} ${sshd} -i -f ${settings}
`,
  );
  const everywhere = `Host *
  User ${os.userInfo().username}
  IdentityFile ${user}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
`;
  return ['ssh', '-F', lab.file('ssh_config', hosts.join('') + everywhere)];
}

const gone = (pid: number): Promise<boolean> =>
  eventually(
    async () => !existsSync(`/proc/${pid}`),
    (yes) => yes,
    `process ${pid} is still there`,
  );

const setting = async (host: BenchHost): Promise<string> =>
  (await host.run(['sysctl', '-n', 'net.ipv4.ip_local_port_range'])).out.replace(/\s+/g, ' ').trim();

/** What the benchmark leaves on a host while it runs: those of the lab all have this machine's directory. */
const scratches = (): string[] => readdirSync('/tmp').filter((name) => /^splbench-|^process\.\w{6}$/.test(name));

/** What holds for any lab of the benchmark. */
async function testHosts(t: Test, lab: BenchLab): Promise<void> {
  const command = ['sh', '-c', 'printf "[%s]" "$@"; echo err >&2; exit 7', 'sh', `it's "$HOME"`, '', 'two\nlines'];
  t.same(await lab.client.run(command), { out: `[it's "$HOME"][][two\nlines]`, err: 'err\n', code: 7 });

  const talk = 'echo "$WORD"; sleep 1000 & echo child $!; wait';
  const running = await lab.proxy.start(['sh', '-c', talk], { env: { WORD: `a "b" 'c'` } });
  await eventually(
    async () => running.tail(),
    (tail) => /^a "b" 'c'\nchild \d+$/.test(tail),
    'it says nothing',
  );
  t.ok(existsSync(`/proc/${running.pid}`), 'its id is that of the process');
  const child = Number(/child (\d+)/.exec(running.tail())?.[1]);
  await running.stop();
  t.ok(running.ended);
  await gone(running.pid);
  await gone(child);
  await running.stop();

  const missing = await lab.server.start(['no-such-program']);
  await eventually(
    async () => missing.ended,
    (ended) => ended,
    'it runs',
  );
  t.match(missing.tail(), 'no-such-program');
}

async function testLoss(t: Test, lab: BenchLab): Promise<void> {
  const link = lab.server.links['proxy']!;
  const filters = async (): Promise<string> => {
    const show = (direction: string): string[] => ['tc', 'filter', 'show', 'dev', link, direction];
    return (await lab.server.run(show('ingress'))).out + (await lab.server.run(show('egress'))).out;
  };
  const segments = async (): Promise<string | undefined> =>
    /gso_max_segs (\d+)/.exec((await lab.server.run(['ip', '-d', 'link', 'show', 'dev', link])).out)?.[1];
  const before = await segments();
  await lab.setLoss(0.5);
  t.equal((await filters()).match(/bytecode/g)?.length, 4);
  t.equal(await segments(), '1');
  await lab.setLoss(0);
  t.equal(await filters(), '');
  t.equal(await segments(), before);
}

await t.test('machines that are reached by ssh', { timeout: patient(120_000) }, async (t) => {
  const lab = Lab.open();
  const before = scratches();
  try {
    const ssh = sshInto(lab);
    const open = (): Promise<BenchLab> => openRemoteHosts({ hosts: ['cli', 'prx', 'srv'], family: 4, ssh });
    const remote = await open();
    t.same(remote.addresses, {
      family: 4,
      any: '0.0.0.0',
      proxy: address.proxy4,
      target: address.server4,
      sources: `${address.client4}/1`,
    });
    t.same(
      [remote.client.links, remote.proxy.links, remote.server.links],
      [{ proxy: 'c' }, { client: 'c', server: 's' }, { proxy: 's' }],
    );
    t.match(remote.proxy.bypassed, /net.ipv4.ip_forward=1/);
    await testHosts(t, remote);
    await testLoss(t, remote);

    t.equal(await setting(remote.proxy), '10000 39999');
    const scratch = remote.proxy.scratch;
    const server = await remote.server.start(['sleep', '1000']);
    await remote.close();
    await gone(server.pid);
    t.notOk(existsSync(scratch));
    const ports = async (): Promise<string> =>
      (await lab.prx.exec('sysctl', ['-n', 'net.ipv4.ip_local_port_range'])).stdout
        .toString()
        .replace(/\s+/g, ' ')
        .trim();
    t.equal(await ports(), '10240 65535', 'settings are put back');

    lab.prx.sysctl('net.ipv4.ip_forward=1');
    const forwarding = await open();
    t.equal(forwarding.proxy.bypassed, undefined);
    await forwarding.close();

    // An ssh by which nothing can be started on srv: the last step of opening fails, when the others are through.
    const refuses = lab.file(
      'ssh-refuses',
      `#!/bin/sh\ncase "$*" in *'srv exec sh'*somaxconn*) echo refused >&2; exit 1;; esac\nexec "$@"\n`,
      0o755,
    );
    const refused = openRemoteHosts({ hosts: ['cli', 'prx', 'srv'], family: 4, ssh: [refuses, ...ssh] });
    await t.rejects(refused, { message: /nothing starts on the server host: refused/ });
    await eventually(
      async () => scratches().filter((name) => !before.includes(name)),
      (left) => left.length === 0,
      'directories are left behind',
    );
    t.equal(await ports(), '10240 65535', 'settings are put back');

    const wrong = openRemoteHosts({ hosts: ['cli', 'nowhere.invalid', 'srv'], family: 4, ssh });
    await t.rejects(wrong, { message: /cannot log in to the proxy host: .*BatchMode=yes nowhere.invalid true/s });
  } finally {
    lab.close();
  }
});

await t.test('namespaces', { timeout: patient(120_000) }, async (t) => {
  const lab = await openNamespaces({ family: 6 });
  const own = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`splbench-${process.pid}-`));
  t.equal(own().length, 3);
  await t.rejects(openNamespaces({ family: 6 }), { message: new RegExp(`process ${process.pid}`) });
  await testHosts(t, lab);
  await testLoss(t, lab);
  const server = await lab.server.start(['sleep', '1000']);
  await lab.close();
  await gone(server.pid);
  t.same(own(), []);
  await lab.close();
});

await t.test('a run that is killed: the next one removes what is left', { timeout: patient(120_000) }, async (t) => {
  const program = `import(${JSON.stringify(built('namespaces'))}).then(async ({ openNamespaces }) => {
    const lab = await openNamespaces({ family: 4 });
    const stray = await lab.proxy.start(['setpriv', '--pdeathsig', 'clear', 'sleep', '1000']);
    console.log('stray ' + stray.pid);
    setInterval(() => {}, 1000);
  })`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await eventually(
    async () => said,
    (text) => /stray \d+\n/.test(text),
    'it does not open',
  );
  const left = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`splbench-${child.pid}-`));
  child.kill('SIGKILL');
  await ended;
  t.equal(left().length, 3);
  const lab = await openNamespaces({ family: 4 });
  t.same(left(), []);
  await gone(Number(/stray (\d+)/.exec(said)?.[1]));
  await lab.close();
});
