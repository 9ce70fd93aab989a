/** The access line of splice-http, read back. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HttpAccess } from '../../../src/control/http-access.js';
import { HttpCounts } from '../../../src/control/http-counts.js';
import type { AccessRecord } from '../../../src/proxy/access.js';
import { createLogger, type LoggingOptions } from '../../../src/server/logging.js';
import { record } from './http-fixture.js';

function capture(options: Partial<LoggingOptions> = {}) {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ level: 'info', format: 'json', terminal: false, destination, ...options });
  const counts = new HttpCounts();
  return { access: new HttpAccess({ logger, counts }), logger, counts, lines };
}

function lineOf(part: Partial<AccessRecord>): Record<string, unknown> {
  const { access, lines } = capture();
  access.request(record(part));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^[^\n]*\n$/);
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

describe('fields', () => {
  test('all of them', () => {
    const line = lineOf({
      method: 'POST',
      bytesIn: 7,
      durationMs: 12.6,
      origin: 'http://o:80',
      originAddress: '192.0.2.9:80',
      originMs: 3.26,
      cache: 'miss',
      requestId: 'r1',
      user: 'alice',
      referer: 'https://example.com/',
      reason: 'client-gone',
      background: true,
    });
    expect(Object.keys(line)).toEqual([
      ...['level', 'time', 'pid', 'client', 'method', 'host', 'target', 'version', 'status', 'bytes_out', 'bytes_in'],
      ...['ms', 'route', 'origin', 'origin_address', 'origin_ms', 'cache', 'request_id', 'user', 'agent', 'referer'],
      ...['background', 'reason', 'msg'],
    ]);
    expect(line).toMatchObject({
      level: 'info',
      pid: process.pid,
      client: '192.0.2.1:5000',
      method: 'POST',
      host: 'example.com',
      target: '/a?b=c',
      version: '1.1',
      status: 200,
      bytes_out: 1000,
      bytes_in: 7,
      ms: 13,
      route: 'site',
      origin: 'http://o:80',
      origin_address: '192.0.2.9:80',
      origin_ms: 3.3,
      cache: 'miss',
      request_id: 'r1',
      user: 'alice',
      agent: 'curl/8.0',
      referer: 'https://example.com/',
      background: true,
      reason: 'client-gone',
      msg: 'request',
    });
    expect(Number.isNaN(Date.parse(String(line['time'])))).toBe(false);
  });

  test('what is not known is left out', () => {
    const line = lineOf({ host: undefined, route: undefined, agent: undefined });
    for (const key of [
      'host',
      'route',
      'origin',
      'origin_ms',
      'request_id',
      'user',
      'agent',
      'referer',
      'background',
    ]) {
      expect(line).not.toHaveProperty(key);
    }
  });

  test('the same as pino writes its lines', () => {
    const { access, logger, lines } = capture({ worker: 3 });
    logger.info('x');
    access.request(record());
    const [pino, ours] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(Object.keys(ours ?? {}).slice(0, 4)).toEqual(Object.keys(pino ?? {}).slice(0, 4));
    expect(ours).toMatchObject({ level: 'info', pid: process.pid, worker: 3 });
  });
});

describe('credentials', () => {
  test.each([
    ['http://me:secret@example.com/a', 'http://example.com/a'],
    ['//me:secret@example.com/a', '//example.com/a'],
    ['HTTPS://a@b:secret@example.com', 'HTTPS://example.com'],
    ['https://example.com/@me?a=b@c', 'https://example.com/@me?a=b@c'],
    ['/users/@me', '/users/@me'],
  ])('%s', (url, expected) => {
    expect(lineOf({ referer: url, target: url })).toMatchObject({ referer: expected, target: expected });
  });
});

describe('what strangers write', () => {
  const any = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.string({
      unit: fc.constantFrom('"', '\\', '\n', '\u0000', '\u007f', '\u009b', '\ud800', '\u2028', 'ä', '@', 'a'),
    }),
  );
  // Without user information, which is cut out; the texts are shorter than what is cut off.
  const plain = any.map((text) => text.replaceAll('@', '').slice(0, 32));

  test('is one line of JSON, and comes back as it was', () => {
    fc.assert(
      fc.property(
        fc.record({ target: plain, agent: plain, referer: plain, user: plain, host: plain, method: plain }),
        (part) => {
          expect(lineOf(part)).toMatchObject(part);
        },
      ),
    );
  });

  test('is one line of JSON at any length', () => {
    fc.assert(
      fc.property(any, fc.integer({ min: 0, max: 1000 }), (text, times) => {
        const long = text.repeat(times);
        const line = lineOf({ target: long, agent: long, referer: long, user: long, host: long, method: long });
        expect(line['reason']).toBe('ok');
      }),
      { numRuns: 50 },
    );
  });

  test('is cut where it would not fit into one write to a pipe', () => {
    const { access, lines } = capture();
    const long = 'x'.repeat(100_000);
    access.request(
      record({ target: long, agent: long, referer: long, requestId: long, user: long, method: long, host: long }),
    );
    expect(Buffer.byteLength(lines[0] ?? '')).toBeLessThan(4096);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ agent: `${'x'.repeat(256)}...` });
  });

  test('a pretty line has no character that a terminal would obey', () => {
    const { access, lines } = capture({ format: 'pretty' });
    access.request(record({ agent: 'a\n\u001b[31m\u009b31m' }));
    expect(lines.join('').trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    expect(lines.join('')).toContain('"target":"/a?b=c"');
  });
});

describe('level', () => {
  test('nothing is written below it, and all is counted', () => {
    const { access, counts, lines } = capture({ level: 'warn' });
    access.request(record());
    access.fillBegan();
    access.fillEnded(true, 'ok', 5);
    access.connected('o', true);
    access.originFailed('o', 'refused');
    expect(lines).toEqual([]);
    expect([...counts.numbers.requests].reduce((sum, count) => sum + count)).toBe(1);
    expect(counts.numbers).toMatchObject({ fillsBegun: 1, fillsStored: 1, fillBytes: 5 });
    expect(counts.numbers.origins.get('o')).toEqual({ opened: 0, reused: 1, failed: new Map([['refused', 1]]) });
  });

  test('the log of requests can be switched off, the counts cannot', () => {
    const { access, counts, lines } = capture();
    access.logs = false;
    access.request(record());
    access.logs = true;
    access.request(record());
    expect(lines).toHaveLength(1);
    expect([...counts.numbers.requests].reduce((sum, count) => sum + count)).toBe(2);
  });

  test('a reload changes it', () => {
    const { access, logger, lines } = capture({ level: 'warn' });
    logger.level = 'info';
    access.request(record());
    logger.level = 'error';
    access.request(record());
    expect(lines).toHaveLength(1);
  });
});
