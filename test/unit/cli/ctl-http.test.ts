/** splice-ctl against splice-http: real control sockets, and a cache that remembers what it was asked. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { defaultControlPath, type StatsAnswer } from '../../../src/control/control-server.js';
import type { CacheActions } from '../../../src/control/http-actions.js';
import { describeHttp } from '../../../src/control/http-totals.js';
import { HttpMetrics } from '../../../src/control/http-metrics.js';
import { FakeCache, STORED, numbersOf, record, snapshot } from '../control/http-fixture.js';
import { CtlBed, statsOf } from './ctl-bed.js';

const bed = new CtlBed();
const ctl = (...argv: string[]) => bed.run(argv);

const NUMBERS = numbersOf(record(), record({ cache: 'miss', bytesOut: 3000, reason: 'short' }));

async function serve(name: string, cache: CacheActions | undefined, http = cache && snapshot({ numbers: NUMBERS })) {
  const totals = await new HttpMetrics('1').totals();
  const stats = statsOf(7, { listening: ['127.0.0.1:8080'], totals, http: http && describeHttp(http) });
  return bed.serve(name, 7, stats, { cache });
}

describe('purge', () => {
  test.each([
    [['https://E.com/a'], { kind: 'uri', uri: 'https://e.com/a' }, 'hard'],
    [['--prefix', 'https://e.com/s/', '--soft'], { kind: 'prefix', prefix: 'https://e.com/s/' }, 'soft'],
    [['--tag', 't'], { kind: 'tag', tag: 't' }, 'hard'],
    [['--everything'], { kind: 'all' }, 'hard'],
  ] as const)('%j', async (argv, order, mode) => {
    const cache = new FakeCache();
    const path = await serve('http-7.sock', cache);
    const { code, out } = await ctl('purge', ...argv);
    expect([code, out]).toEqual([0, `${path}: 3 objects ${mode === 'soft' ? 'made stale' : 'purged'}\n`]);
    expect(cache.purged).toEqual([[order, mode]]);
  });

  test.each([[[]], [['https://a/', '--tag', 't']], [['--tag', 't', '--everything']], [['--hard', 'https://a/']]])(
    '%j is wrong usage',
    async (argv) => {
      const cache = new FakeCache();
      await serve('http-7.sock', cache);
      expect(await ctl('purge', ...argv)).toMatchObject({ code: 2, out: '' });
      expect(cache.purged).toEqual([]);
    },
  );

  test('the server says what is wrong with it, and what to do', async () => {
    const path = await serve('http-7.sock', new FakeCache());
    const { code, err } = await ctl('purge', '/a');
    expect(code).toBe(1);
    expect(err).toBe(
      `splice-ctl: ${path}: it is no http or https URL; write it whole and as clients ask for it, such as https://example.com/a?b=c\n`,
    );
  });

  test('never guesses among several; a splice-socks is not among them', async () => {
    const caches = [new FakeCache(), new FakeCache()];
    await serve('http-7.sock', caches[0]);
    await serve('socks-9.sock', undefined);
    expect((await ctl('purge', '--tag', 't')).code).toBe(0);
    await serve('http-8.sock', caches[1]);
    const { code, err } = await ctl('purge', '--tag', 't');
    expect([code, caches[1]?.purged]).toEqual([2, []]);
    expect(err).toMatch(/2 servers are running.*--all:\n.*http-7\.sock\n.*http-8\.sock/);
    expect((await ctl('purge', '--tag', 't', '--all')).code).toBe(0);
    expect(caches.map(({ purged }) => purged.length)).toEqual([2, 1]);
  });

  test('one that fails does not keep the others from it', async () => {
    const cache = new FakeCache();
    await serve('http-7.sock', undefined);
    await serve('http-8.sock', cache);
    const { code, err } = await ctl('purge', '--tag', 't', '--all');
    expect([code, cache.purged.length]).toEqual([1, 1]);
    expect(err).toMatch(/http-7\.sock: this server keeps no cache/);
  });

  test('a splice-socks that is named says that it has none', async () => {
    const path = await serve('socks-7.sock', undefined);
    for (const argv of [['purge', '--tag', 't'], ['cache'], ['cache', 'https://a/']]) {
      const { code, err } = await ctl(...argv, '--control', path);
      expect([code, err], argv.join(' ')).toEqual([1, expect.stringMatching(/keeps no cache; ask a splice-http/)]);
    }
  });

  test('without a splice-http: 1, and where it looked', async () => {
    await serve('socks-7.sock', undefined);
    expect(await ctl('purge', '--tag', 't')).toMatchObject({
      code: 1,
      err: expect.stringContaining(`no running splice-http found in ${bed.directory}`),
    });
  });

  test('a purge that the disk did not take down is a failure', async () => {
    const cache = new FakeCache();
    cache.durable = false;
    await serve('http-7.sock', cache);
    expect(await ctl('purge', '--tag', 't')).toMatchObject({
      code: 1,
      err: expect.stringContaining('after a restart'),
    });
  });
});

describe('cache', () => {
  test('numbers for people', async () => {
    const path = await serve('http-7.sock', new FakeCache());
    const { code, out } = await ctl('cache');
    expect(code).toBe(0);
    expect(out.startsWith(`${path}\n`)).toBe(true);
    expect(out).toMatch(/^ {2}hit ratio +50.0% of requests, 25.0% of bytes$/m);
    expect(out).toMatch(/^ {2}objects +12, 3 of them files, 4.0 KiB on disk$/m);
    expect(out).toMatch(/^CACHE +REQUESTS +BYTES$/m);
    expect(out).toMatch(/^miss +1 +2.9 KiB$/m);
    expect(out).not.toMatch(/^partial/m);
  });

  test('numbers for programs', async () => {
    const path = await serve('http-7.sock', new FakeCache());
    const [answer] = JSON.parse((await ctl('cache', '--json')).out) as Record<string, unknown>[];
    expect(answer).toMatchObject({ path, hitRatio: 0.5, store: { objects: 12 } });
  });

  test('a row for each variant', async () => {
    const cache = new FakeCache();
    cache.stored = [
      STORED,
      { ...STORED, complete: false, length: 3000, freshMs: -5, validate: 'purged' },
      { ...STORED, freshMs: -1 },
      { ...STORED, filling: true, type: 'x/\u001b[2J' },
    ];
    const path = await serve('http-7.sock', cache);
    const { out } = await ctl('cache', 'https://e.com/a?a=%20&b=c', '--control', path);
    expect(cache.asked).toEqual(['https://e.com/a?a=%20&b=c']);
    const [title, head, ...rows] = out.trimEnd().split('\n');
    expect(title).toBe(`${path}: https://e.com/a?a=%20&b=c`);
    expect(head).toMatch(/^STATUS +STATE +AGE +FRESH FOR +BY +SIZE +TYPE +VARY$/);
    expect(rows[0]).toMatch(/^200 +fresh +5s +55s +explicit +1.5 KiB +text\/html +accept-encoding$/);
    expect(rows[1]).toMatch(/^200 +purged +5s +- +explicit +1.5 KiB of 2.9 KiB /);
    expect(rows[2]).toMatch(/^200 +stale +5s +- /);
    expect(rows[3]).toMatch(/^200 +filling /);
    expect(out).not.toMatch(/\u001b/);
    const [json] = JSON.parse((await ctl('cache', 'https://e.com/', '--json')).out) as Record<string, unknown>[];
    expect(json).toMatchObject({ path, url: 'https://e.com/', stored: [STORED, {}, {}, {}] });
  });

  test('nothing stored', async () => {
    const cache = new FakeCache();
    cache.stored = [];
    const path = await serve('http-7.sock', cache);
    expect((await ctl('cache', 'https://e.com/')).out).toBe(`${path}: https://e.com/\n  nothing is stored\n`);
  });
});

describe('stats and flows', () => {
  test('of a splice-http, beside those of a splice-socks', async () => {
    await serve('http-7.sock', new FakeCache());
    await serve('socks-7.sock', undefined);
    const { code, out } = await ctl('stats');
    expect(code).toBe(0);
    const [http, socks] = out.split('\n\n');
    expect(http).toMatch(/^splice-http 1\.2\.3, pid 7, running, up 1h00m\n/);
    expect(http).toMatch(/^ {2}requests +2 answered, 1 of them badly; 3 under way$/m);
    expect(http).toMatch(/^ {2}connections +5 open, 2 of them idle; 1 tunnels$/m);
    expect(http).toMatch(/^ {2}origins +2 busy, 1 idle, 4 waited for$/m);
    expect(http).toMatch(/^ {2}hit ratio +50.0% of requests/m);
    expect(http).toMatch(/^ {2}descriptors +10 of 1024$/m);
    expect(http).not.toContain('turned away');
    expect(socks).toMatch(/^splice-socks 1\.2\.3/);
    expect(socks).toMatch(/^ {2}turned away /m);
    const answers = JSON.parse((await ctl('stats', '--json')).out) as StatsAnswer[];
    expect(answers.map(({ http }) => http?.requests)).toEqual([2, undefined]);
    expect((await ctl('flows')).out).toBe('no live flows\n');
  });

  test('without a cache', async () => {
    await serve('http-7.sock', new FakeCache(), snapshot({ store: undefined }));
    const { out } = await ctl('stats');
    expect(out).toMatch(/^ {2}cache +none$/m);
    expect(out).not.toContain('hit ratio');
  });

  test('the default socket is one that is found', async () => {
    const { directory, surroundings } = bed;
    expect(await defaultControlPath(surroundings, 7, 'http')).toBe(join(directory, 'http-7.sock'));
    expect(await defaultControlPath(surroundings, 7)).toBe(join(directory, 'socks-7.sock'));
  });
});
