import { describe, expect, test } from 'vitest';
import { errnoName } from '../../../src/errno.js';
import { decodeAddress, formatEndpoint } from '../../../src/flow/address.js';
import { Resolver } from '../../../src/flow/resolver.js';
import { Gate } from '../../../src/socks/gate.js';
import { native } from '../../../src/native.js';

describe('addresses of the addon', () => {
  test.each(['127.0.0.1', '::1'])('%s comes back', (host) => {
    const fd = native().listen(host, 0, 1, false);
    const { address, port } = decodeAddress(native().describe(fd).local!);
    native().close(fd);
    expect(address).toBe(host);
    expect(port).toBeGreaterThan(1024);
  });

  test('none is 0.0.0.0:0', () => {
    expect(decodeAddress(new Uint8Array(0))).toEqual({ address: '0.0.0.0', port: 0 });
  });

  test('written with the port', () => {
    expect(formatEndpoint('::1', 80)).toBe('[::1]:80');
    expect(formatEndpoint('10.0.0.1', 80)).toBe('10.0.0.1:80');
    expect(formatEndpoint('example.org', 80)).toBe('example.org:80');
  });
});

test('names of errno', () => {
  expect([errnoName(111), errnoName(104), errnoName(0), errnoName(99_999)]).toEqual([
    'ECONNREFUSED',
    'ECONNRESET',
    'E0',
    'E99999',
  ]);
});

describe('Resolver', () => {
  test('a literal is its own answer, and nobody is asked', async () => {
    const resolver = new Resolver(() => Promise.reject(new Error('asked')));
    expect(await resolver.resolve('192.0.2.1')).toEqual({ ok: true, addresses: ['192.0.2.1'] });
    expect(await resolver.resolve('::1')).toEqual({ ok: true, addresses: ['::1'] });
  });

  test('who asks while a question is under way gets its answer; later it is asked again', async () => {
    let asked = 0;
    const resolver = new Resolver(() => Promise.resolve([`10.0.0.${++asked}`]));
    const [first, second] = await Promise.all([resolver.resolve('Example.org'), resolver.resolve('example.ORG')]);
    expect(first).toEqual({ ok: true, addresses: ['10.0.0.1'] });
    expect(second).toEqual(first);
    expect(await resolver.resolve('example.org')).toEqual({ ok: true, addresses: ['10.0.0.2'] });
  });

  test('a failure is a value', async () => {
    const resolver = new Resolver(() =>
      Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })),
    );
    expect(await resolver.resolve('nowhere.invalid')).toEqual({ ok: false, failure: 'name-not-found' });
  });

  test('questions wait their turn, and one that nobody wants any more is not asked', async () => {
    const asked: string[] = [];
    const answers: (() => void)[] = [];
    const lookup = (name: string): Promise<string[]> => {
      asked.push(name);
      return new Promise((resolve) => answers.push(() => resolve(['192.0.2.1'])));
    };
    const resolver = new Resolver(lookup, new Gate(1, 2));
    let patient = true;
    const slow = resolver.resolve('slow.test');
    const left = resolver.resolve('left.test', () => patient);
    const kept = resolver.resolve('kept.test', () => patient);
    void resolver.resolve('kept.test');
    expect(await resolver.resolve('many.test')).toEqual({ ok: false, failure: 'limit' });
    patient = false;
    answers.shift()!();
    expect(await slow).toMatchObject({ ok: true });
    expect(await left).toEqual({ ok: false, failure: 'timed-out' });
    answers.shift()!();
    expect(await kept).toMatchObject({ ok: true });
    expect(asked).toEqual(['slow.test', 'kept.test']);
  });
});
