// splice-http between real programs on three hosts: curl and git before it, nginx and git behind it.
import t, { type Test } from 'tap';
import { mkdirSync, utimesSync } from 'node:fs';
import path from 'node:path';
import type { Finished } from '../support/children.js';
import { splicectl, startHttp, type HttpProxy } from '../support/http-proxy.js';
import { eventually, patient } from '../support/children.js';
import { address, Lab } from '../support/lab.js';
import { startGitHttp, startNginx, writeRandomFile } from '../support/servers.js';

const gibibyte = 2 ** 30;
t.setTimeout(3_600_000);

const lab = Lab.open();
t.teardown(() => lab.close());
const web = await startNginx(lab);
/** Old enough to be fresh by heuristics for a day. */
const weeksAgo = Date.now() / 1000 - 30 * 86_400;
function published(name: string, bytes: number): string {
  const file = path.join(web.root, name);
  const sum = writeRandomFile(file, bytes);
  utimesSync(file, weeksAgo, weeksAgo);
  return sum;
}
const sums = {
  big: published('big', gibibyte),
  large: published('large', 2 ** 27),
  middle: published('middle', 2 ** 26),
  small: published('small', 10_000),
};

const shell = (script: string, env: Record<string, string> = {}): Promise<Finished> =>
  lab.cli.exec('sh', ['-c', script], { limitMs: 115_000, env });

/** What curl gets: the sum of the content, and what Cache-Status says. */
async function fetched(proxy: HttpProxy, name: string, args = ''): Promise<{ sum: string; status: string }> {
  const head = path.join(lab.directory, `head-${Math.random()}`);
  const url = `http://${address.proxy4}:${proxy.port}/${name}`;
  const { stdout, stderr } = await shell(
    `curl -sS --fail --max-time 110 -D ${head} ${args} ${url} | sha256sum; cat ${head}`,
  );
  const text = stdout.toString() + stderr;
  return { sum: text.slice(0, 64), status: /^cache-status: (.*)\r$/im.exec(text)?.[1] ?? text };
}

const reverse = (name: string, more: readonly string[], body: (t: Test, proxy: HttpProxy) => Promise<void>) =>
  t.test(name, { timeout: patient(240_000) }, async (t) => {
    const proxy = await startHttp({ host: lab.prx, listen: [`${address.proxy4}:0`], args: more, backend: 'auto' });
    try {
      await body(t, proxy);
      t.ok(proxy.child.running);
      t.same(proxy.complaints(), []);
    } finally {
      await proxy.child.stop();
    }
  });

const origin = ['--origin', `http://${address.server4}`];
const large = ['--cache-size', '4g', '--cache-max-object', '2g'];

await reverse('a gigabyte: miss and hits have every byte', [...origin, ...large], async (t, proxy) => {
  const miss = await fetched(proxy, 'big');
  t.equal(miss.sum, sums.big);
  t.match(miss.status, /fwd=uri-miss; stored/);
  for (const args of ['', '--http1.0', '--limit-rate 400m']) {
    const hit = await fetched(proxy, 'big', args);
    t.equal(hit.sum, sums.big, args);
    t.match(hit.status, /; hit/);
  }
  const pieces = ['0-99999999', '100000000-700000000', '700000001-'].map(
    (range) => `curl -sS --fail -r ${range} http://${address.proxy4}:${proxy.port}/big`,
  );
  const { stdout } = await shell(`{ ${pieces.join('; ')}; } | sha256sum`);
  t.equal(stdout.toString().slice(0, 64), sums.big, 'in ranges');
});

await reverse('no cache, and an object that is too big for it', [...origin, '--no-cache'], async (t, proxy) => {
  t.equal((await fetched(proxy, 'large')).sum, sums.large);
  const small = await startHttp({
    host: lab.prx,
    listen: [`${address.proxy4}:0`],
    args: [...origin, '--cache-size', '100m', '--cache-max-object', '50m'],
  });
  for (let i = 0; i < 2; i++) {
    const passed = await fetched(small, 'large');
    t.equal(passed.sum, sums.large);
    t.match(passed.status, /fwd=uri-miss/);
    t.notMatch(passed.status, /; stored/);
  }
  await small.child.stop();
});

await reverse('many at once, cold and warm, from one nginx', origin, async (t, proxy) => {
  for (let round = 0; round < 2; round++) {
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, i) => fetched(proxy, i % 2 === 0 ? 'middle' : 'small')),
    );
    for (const [i, { sum }] of results.entries()) t.equal(sum, i % 2 === 0 ? sums.middle : sums.small);
  }
});

await reverse('whoever breaks off goes on where it stopped', [...origin, ...large], async (t, proxy) => {
  const part = path.join(lab.directory, 'part');
  const url = `http://${address.proxy4}:${proxy.port}/big`;
  const { code } = await shell(`curl -sS --max-time 1 --limit-rate 50m -o ${part} ${url}`);
  t.equal(code, 28, 'it ran out of time');
  const { code: resumed, stderr } = await shell(`curl -sS --fail -C - -o ${part} ${url}`);
  t.equal(resumed, 0, stderr);
  t.equal((await shell(`sha256sum ${part}`)).stdout.toString().slice(0, 64), sums.big);
  t.equal((await fetched(proxy, 'big')).sum, sums.big);
});

await reverse('uploads, with a length and chunked', origin, async (t, proxy) => {
  const source = path.join(web.root, 'large');
  const url = `http://${address.proxy4}:${proxy.port}/up`;
  for (const [name, how] of [
    ['length', `-T ${source}`],
    ['chunked', `-T - < ${source}`],
  ] as const) {
    const { code, stderr } = await shell(`curl -sS --fail --max-time 110 ${url}/${name} ${how}`);
    t.equal(code, 0, stderr);
    const { stdout } = await shell(`sha256sum ${web.uploads}/${name}; rm ${web.uploads}/${name}`);
    t.equal(stdout.toString().slice(0, 64), sums.large, name);
  }
});

await reverse('conditions and HEAD, as curl asks them', origin, async (t, proxy) => {
  const url = `http://${address.proxy4}:${proxy.port}/small`;
  const code = async (args: string): Promise<string> =>
    (await shell(`curl -sS -o /dev/null -w '%{http_code} %{size_download}' ${args} ${url}`)).stdout.toString();
  for (let round = 0; round < 2; round++) {
    t.equal(await code(''), '200 10000');
    t.equal(await code('-I'), '200 0');
    t.equal(await code(`-z '${new Date(Date.now() - 86_400_000).toUTCString()}'`), '304 0');
    t.equal(await code(`-z '${new Date((weeksAgo - 86_400) * 1000).toUTCString()}'`), '200 10000');
    t.equal(await code('-r 5-14'), '206 10');
  }
});

await t.test('git clones and pushes', { timeout: patient(120_000) }, async (t) => {
  const env = {
    HOME: lab.directory,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Lab',
    GIT_AUTHOR_EMAIL: 'lab@srv.lab',
    GIT_COMMITTER_NAME: 'Lab',
    GIT_COMMITTER_EMAIL: 'lab@srv.lab',
  };
  const root = path.join(lab.directory, 'repositories');
  const seed = path.join(lab.directory, 'seed');
  for (const directory of [root, seed]) mkdirSync(directory);
  writeRandomFile(path.join(seed, 'data'), 20_000_000);
  const git = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await lab.cli.exec('git', args, { env });
    t.equal(code, 0, `git ${args.join(' ')}: ${stderr}`);
    return stdout.toString();
  };
  const project = path.join(root, 'project.git');
  await git('init', '-q', '--bare', '-b', 'main', project);
  await git('-C', project, 'config', 'http.receivepack', 'true');
  await git('-C', seed, 'init', '-q', '-b', 'main');
  await git('-C', seed, 'add', 'data');
  await git('-C', seed, 'commit', '-q', '-m', 'seed');
  await startGitHttp(lab, root);
  const proxy = await startHttp({
    host: lab.prx,
    listen: [`${address.proxy4}:0`],
    args: ['--origin', `http://${address.server4}:8081`],
  });
  const url = `http://${address.proxy4}:${proxy.port}/project.git`;
  // A push that is bigger than the buffer is chunked.
  await git('-C', seed, '-c', 'http.postBuffer=65536', 'push', '-q', url, 'main');
  for (const name of ['first', 'second']) {
    const copy = path.join(lab.directory, name);
    await git('clone', '-q', url, copy);
    await git('-C', copy, 'fsck', '--strict');
    await git('-C', copy, 'commit', '-q', '--allow-empty', '-m', name);
    await git('-C', copy, 'push', '-q', url, 'main');
  }
  t.equal((await git('-C', project, 'log', '--format=%s', 'main')).trim(), 'second\nfirst\nseed');
  await proxy.child.stop();
});

for (const backend of ['packet', 'splice', 'copy'] as const) {
  await t.test(`tunnels on the ${backend} backend: CONNECT`, { timeout: patient(120_000) }, async (t) => {
    const proxy = await startHttp({
      host: lab.prx,
      listen: [`${address.proxy4}:0`],
      args: ['--forward', '--open', '--connect-ports', 'any'],
      backend,
    });
    const curl = `curl -sS --fail --max-time 60 -p -x http://${address.proxy4}:${proxy.port}`;
    for (let i = 0; i < 2; i++) {
      const { stdout, stderr } = await shell(`${curl} http://v4only.lab/middle | sha256sum`);
      t.equal(stdout.toString().slice(0, 64), sums.middle, stderr);
    }
    const upload = await shell(`${curl} -T ${path.join(web.root, 'middle')} http://v4only.lab/up/tunnel`);
    t.equal(upload.code, 0, upload.stderr);
    t.equal((await shell(`sha256sum ${web.uploads}/tunnel`)).stdout.toString().slice(0, 64), sums.middle);
    const line = await proxy.waitForLog((entry) => entry['method'] === 'CONNECT');
    t.match(line, { status: 200, route: 'tunnel', reason: 'ok' });
    t.same(proxy.complaints(), []);
    await proxy.child.stop();
  });
}

interface Listed {
  readonly packet?: { readonly phase: string };
  readonly adopted?: true;
}

await t.test(
  'a tunnel in the kernel: a drain does not wait for it, and the next one adopts it',
  { timeout: patient(120_000) },
  async (t) => {
    const start = (): Promise<HttpProxy> =>
      startHttp({
        host: lab.prx,
        listen: [`${address.proxy4}:0`],
        args: ['--forward', '--open', '--connect-ports', 'any', '--drain-timeout', '10m'],
        backend: 'packet',
      });
    const flows = async (proxy: HttpProxy): Promise<Listed[]> =>
      JSON.parse(await splicectl(proxy, 'flows', '--json')) as Listed[];
    const proxy = await start();
    let over = false;
    const download = shell(
      `curl -sS --fail --max-time 100 --limit-rate 6M -p -x http://${address.proxy4}:${proxy.port} http://v4only.lab/large | sha256sum`,
    ).finally(() => (over = true));
    await eventually(
      () => flows(proxy),
      (list) => list[0]?.packet?.phase === 'released',
      'the tunnel does not go over to the kernel',
    );
    proxy.child.signal('SIGTERM');
    const { code } = await proxy.child.exited;
    t.equal(code, 0, proxy.child.transcript());
    t.notOk(over, 'the process ended before the download');
    const next = await start();
    t.match(await flows(next), [{ adopted: true }]);
    const { stdout, stderr } = await download;
    t.equal(stdout.toString().slice(0, 64), sums.large, stderr);
    await eventually(
      () => flows(next),
      (list) => list.length === 0,
      'what was adopted does not end',
    );
    t.same(next.complaints(), []);
    await next.child.stop();
  },
);
