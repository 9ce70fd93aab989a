import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { configurationPath, fillIn } from '../../../src/bench/contestants/configuration.js';
import { allContestants, chooseContestants } from '../../../src/bench/contestants/index.js';
import { streamModule } from '../../../src/bench/contestants/nginx.js';
import { writeFile } from '../../../src/bench/contestants/on-host.js';
import { LocalHost } from '../../../src/bench/lab/local-host.js';
import type { Contestant, Family, Host, Output, Place } from '../../../src/bench/model.js';

const scratch = mkdtempSync(path.join(os.tmpdir(), 'bench-contestants-test-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const host = new LocalHost('proxy', { client: 'left', server: 'right' }, scratch, []);
const addresses = {
  4: { family: 4, any: '0.0.0.0', proxy: '10.0.1.1', target: '10.0.2.2', sources: '10.0.1.100/8' },
  6: { family: 6, any: '[::]', proxy: '[fd00:1::1]', target: '[fd00:2::2]', sources: 'fd00:1::100/8' },
} as const;
const place = (family: Family = 4): Place => ({
  host,
  addresses: addresses[family],
  proxyPort: 1080,
  targetPort: 7000,
  scratch,
  processors: 3,
});

/** A host that has nothing: every command fails. */
const bareHost: Host = {
  name: 'proxy',
  links: {},
  scratch,
  run: async (): Promise<Output> => ({ out: '', err: 'not found', code: 127 }),
  start: async () => {
    throw new Error('nothing starts here');
  },
};

const named = (name: string): Contestant => chooseContestants([name])[0]!;
const commandOf = async (name: string, family?: Family): Promise<string> =>
  (await named(name).prepare(place(family)))!.command.join(' ');

/** A host on which every command succeeds, and says nothing. */
const willingHost: Host = { ...bareHost, run: async () => ({ out: '', err: '', code: 0 }) };

describe('choosing', () => {
  test('without names: everybody, each name once', () => {
    const names = allContestants().map((one) => one.name);
    expect(chooseContestants(undefined).map((one) => one.name)).toEqual(names);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(['router', 'dante', 'nginx-stream', 'ssh-dynamic', 'ours-packet']));
  });

  test('by names, in their order, none twice', () => {
    expect(chooseContestants(['dante', 'router', 'dante']).map((one) => one.name)).toEqual(['dante', 'router']);
  });

  test.each(['nobody', 'ours-', 'ours-nothing', 'ours-packet-later'])('%s: the error lists who there is', (name) => {
    expect(() => chooseContestants([name])).toThrow(/no contestant is called .*router, haproxy-splice, .*ours-sockmap/);
  });

  test('ours at once, with arguments of its own and of all of ours', async () => {
    const [one] = chooseContestants(['ours-packet-now --pipe-size  64K'], ['--log-level', 'error']);
    expect(one).toMatchObject({ name: 'ours-packet-now --pipe-size 64K', via: 'socks5' });
    const { command } = (await one!.prepare(place(6)))!;
    expect(command.slice(2).join(' ')).toBe(
      '--backend packet --listen [::]:1080 --open --packet-after-bytes 0 --packet-after-time 0 --pipe-size 64K --log-level error',
    );
  });
});

/** A host that has memory and says no more. */
const roomyHost = (availableKb: number): Host => ({
  ...host,
  links: {},
  scratch,
  run: async (command) =>
    command.includes('/proc/meminfo') ? { out: `${availableKb}\n`, err: '', code: 0 } : host.run(command),
  start: bareHost.start,
});

describe('HTTP fronts', () => {
  const start = async (name: string, processors: number, availableKb = 16 * 2 ** 20): Promise<string> => {
    const at = { ...place(), host: roomyHost(availableKb), processors };
    return (await named(name).prepare(at))!.command.join(' ');
  };

  test('caches have the same room, in memory of their own', async () => {
    const tmpfs = /in-memory\.sh \S+ (\d+)m /;
    const [nginx, ours] = [await start('nginx-cache', 1), await start('ours-http', 1)];
    expect(nginx.match(tmpfs)?.[1]).toBe('8192');
    expect(ours.match(tmpfs)?.[1]).toBe('8192');
    expect(ours).toContain('--cache-size 5461m');
    expect(readFileSync(path.join(scratch, 'nginx-cache.conf'), 'utf8')).toContain('max_size=5461m');
    expect(await start('varnish', 1)).toMatch(/varnish\.sh \S+ \S+ 0\.0\.0\.0:1080 5461 1$/);
    expect(await start('ours-http', 1, 100 * 2 ** 20)).toContain('--cache-size 8192m');
  });

  test('too little memory is a reason, with a next step', async () => {
    for (const name of ['nginx-cache', 'nginx-cache-push'])
      expect(
        await named(name).missing({ ...roomyHost(4 * 2 ** 20), run: async () => ({ out: '', err: '', code: 0 }) }),
      ).toMatch(/a cache needs 2048 MiB here.*use a machine with more memory/);
  });

  test('a worker for each processor; each of ours has its share of the cache for itself', async () => {
    const ours = await start('ours-http', 2);
    expect(ours).toMatch(/--cache-max-object 2730m --workers 2 --no-access-log$/);
    await start('nginx-cache', 2);
    expect(readFileSync(path.join(scratch, 'nginx-cache.conf'), 'utf8')).toContain('worker_processes 2;');
  });

  test('nginx with and without tcp_nopush', async () => {
    const config = async (name: string): Promise<string> => {
      await start(name, 1);
      return readFileSync(path.join(scratch, 'nginx-cache.conf'), 'utf8');
    };
    expect(await config('nginx-cache')).toContain('tcp_nopush on;');
    expect(await config('nginx-cache-push')).toContain('tcp_nopush off;');
  });

  test('ours without a cache, and with arguments of its own', async () => {
    expect(await start('ours-http-nocache', 1)).toMatch(
      /splice-http\.js --listen 0\.0\.0\.0:1080 --origin http:\/\/10\.0\.2\.2:7000 --no-cache --workers 1 --no-access-log$/,
    );
    expect(named('ours-http --cache-memory  1m')).toMatchObject({ name: 'ours-http --cache-memory 1m', via: 'http' });
    expect(await start('ours-http --cache-memory 1m', 1)).toMatch(/--cache-memory 1m$/);
  });
});

describe('starting', () => {
  test('nothing runs for the router', async () => expect(await named('router').prepare(place())).toBeUndefined());

  test('every other one has a command, and a configuration that is there', async () => {
    for (const contestant of allContestants().filter((one) => one.name !== 'router')) {
      const start = await contestant.prepare({ ...place(), host: willingHost });
      expect(start?.command.length, contestant.name).toBeGreaterThan(0);
      if (contestant.config !== undefined) expect(existsSync(contestant.config), contestant.config).toBe(true);
    }
  });

  test('Dante gets the interfaces of the host and a server for each processor', async () => {
    const command = await commandOf('dante');
    expect(command).toContain('-N 3');
    const config = readFileSync(path.join(scratch, 'dante.conf'), 'utf8');
    expect(config).toContain('internal: left port = 1080');
    expect(config).toContain('external: right');
  });

  test('addresses are written as each program wants them', async () => {
    expect(await commandOf('microsocks', 6)).toBe('microsocks -i :: -p 1080');
    expect(await commandOf('node-relay', 6)).toMatch(/ 1080 \[fd00:2::2\]:7000$/);
    expect((await named('haproxy-copy').prepare(place(6)))?.env).toEqual({
      BENCH_THREADS: '3',
      BENCH_LISTEN: 'ipv6@:1080',
      BENCH_TARGET: '[fd00:2::2]:7000',
    });
  });
});

describe('what is missing', () => {
  test('is said with what to do about it', async () => {
    for (const contestant of allContestants().filter((one) => one.name !== 'router')) {
      const reason = await contestant.missing(bareHost);
      expect(reason, contestant.name).toMatch(/scripts\/(setup --bench|build)|install it there/);
    }
  });

  test('nginx without the module', async () => {
    const run = async (command: readonly string[]): Promise<Output> =>
      command[0] === 'nginx'
        ? { out: '', err: '--modules-path=/nowhere --with-stream=dynamic', code: 0 }
        : { out: '', err: '', code: command[0] === 'test' ? 1 : 0 };
    expect(await named('nginx-stream').missing({ ...bareHost, run })).toContain('no stream module');
  });

  test('a way through the proxy host, for the router', async () => {
    expect(await named('router').missing(bareHost)).toBeUndefined();
    expect(await named('router').missing({ ...bareHost, bypassed: 'no forwarding' })).toBe('no forwarding');
  });
});

describe('configurations', () => {
  test('nginx: the module is part of it, a file, or not there', () => {
    expect(streamModule('configure arguments: --with-stream --with-stream_ssl_module')).toBe('static');
    const dynamic = '--modules-path=/usr/lib64/nginx --with-stream_ssl_module --with-stream=dynamic';
    expect(streamModule(dynamic)).toEqual({ file: '/usr/lib64/nginx/ngx_stream_module.so' });
    expect(streamModule('--with-stream_ssl_module --with-mail')).toBeUndefined();
  });

  test('every place is filled in, and every value has one', () => {
    expect(fillIn('a @X@ b @Y_Z@ @X@', { X: 1, Y_Z: 'two' })).toBe('a 1 b two 1');
    expect(() => fillIn('@X@', {})).toThrow('@X@');
    expect(() => fillIn('none', { X: 1 })).toThrow('nowhere to put X');
  });

  test('nginx-stream.conf has the places that are filled in', () => {
    const text = readFileSync(configurationPath('nginx-stream.conf'), 'utf8');
    const filled = fillIn(text, { MODULE: '', WORKERS: 3, LISTEN: '[::]:1080', TARGET: '1.2.3.4:5', SCRATCH: '/s' });
    expect(filled).toContain('listen [::]:1080 reuseport');
    expect(filled).not.toMatch(/@/);
  });

  test('a file arrives on the host as it is', async () => {
    const text = `it's "$HOME" %s \\n\n\ttwo `;
    const file = await writeFile(place(), 'a/file', text);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});
