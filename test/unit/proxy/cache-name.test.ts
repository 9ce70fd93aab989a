/** `--cache-name` is what Cache-Status (RFC 9211) says on every response, whoever made it and why. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { front, get, request, response, type Front } from './front-bed.js';

const statusOf = (head: string): string | undefined => /\r\ncache-status: ([^\r]*)/i.exec(head)?.[1];

/** A front whose cache is called `edge`, one site whose own is called `shop`, and one that has none. */
async function named(): Promise<Front> {
  const directory = mkdtempSync(join(tmpdir(), 'symsplice-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'front.yaml');
  return front({ cacheName: 'edge' }, (port) => {
    const origin = `http://127.0.0.1:${port}`;
    writeFileSync(
      path,
      `sites:
  - {path: /raw, origin: "${origin}", cache: off}
  - {path: /shop, origin: "${origin}", cache: {cache-name: shop}}
`,
    );
    return { config: path, origin };
  });
}

async function passed(bed: Front, path: string): Promise<string | undefined> {
  const client = await bed.client(get(path, 'Connection: close'));
  const origin = await bed.origin();
  await origin.head();
  origin.write(response(200, 'x', 'Cache-Control: max-age=60', 'Connection: close'));
  const { head } = await client.response();
  await bed.resting();
  return statusOf(head);
}

async function own(bed: Front, bytes: string): Promise<string | undefined> {
  const client = await bed.client(bytes);
  return statusOf((await client.response()).head);
}

test('a miss, a hit, and what passes a cache that is off', async () => {
  const bed = await named();
  expect(await passed(bed, '/a')).toMatch(/^edge; fwd=uri-miss; stored/);
  expect(await own(bed, get('/a'))).toMatch(/^edge; hit/);
  expect(await passed(bed, '/shop/a')).toMatch(/^shop; fwd=uri-miss; stored/);
  expect(await passed(bed, '/raw/a')).toBe('edge; fwd=bypass');
  await bed.done();
});

test('responses of our own, refusals of what is no request among them', async () => {
  const bed = await named();
  expect(await own(bed, request('OPTIONS', '*'))).toBe('edge; detail=ok');
  expect(await own(bed, request('CONNECT', 'a.test:443').replace('front.test', 'a.test:443'))).toBe(
    'edge; detail=no-forward-proxy',
  );
  expect(await own(bed, 'GET / HTTP/1.1\r\n\r\n')).toMatch(/^edge; detail=/);
  expect(await own(bed, get('/a', 'Cache-Control: only-if-cached'))).toMatch(/^edge; detail=/);
  await bed.done();
});

test('an origin that gives no answer: by the name of its site', async () => {
  const bed = await named();
  for (const [path, name] of [
    ['/shop/b', 'shop'],
    ['/raw/b', 'edge'],
  ] as const) {
    const client = await bed.client(get(path));
    (await bed.origin()).reset();
    expect(statusOf((await client.response()).head)).toMatch(new RegExp(`^${name}; `));
  }
  await bed.done();
});
