/** A server that cannot be put together takes apart what it has made. */
import { once } from 'node:events';
import net from 'node:net';
import pino from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { native } from '../../../src/native.js';
import { loadHttpConfig } from '../../../src/server/http-config.js';
import { HttpServer } from '../../../src/server/http-server.js';
import { localAddress } from '../../../src/server/listeners.js';
import { descriptors, until } from '../../support/flow-bed.js';

// The last step that can fail: all there is to a server is there by then.
vi.mock('../../../src/server/http-site.js', async (original) => ({
  ...(await original<object>()),
  watchUsers: () => {
    throw new Error('no watch');
  },
}));

test('one that fails at its last step listens no more, and leaves no timer and no descriptor', async () => {
  const before = descriptors().all;
  const begun = vi.spyOn(globalThis, 'setInterval');
  const ended = vi.spyOn(globalThis, 'clearInterval');
  onTestFinished(() => void vi.restoreAllMocks());
  const listener = native().listen('127.0.0.1', 0, 16, false);
  const { port } = localAddress(listener);
  const config = {
    ...(await loadHttpConfig({ listen: ['0'], backend: 'splice', origin: 'http://127.0.0.1:1' })),
    cacheDir: '',
  };
  const serving = HttpServer.serve({ config, logger: pino({ level: 'silent' }), listeners: [listener] });
  await expect(serving).rejects.toThrow('no watch');

  const client = net.connect({ port, host: '127.0.0.1' });
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNREFUSED');
  const timers = begun.mock.results.map(({ value }) => value as NodeJS.Timeout);
  expect(timers.length).toBeGreaterThan(0);
  expect(timers.filter((timer) => !ended.mock.calls.some(([cleared]) => cleared === timer))).toEqual([]);
  await until('every descriptor is back', () => descriptors().all <= before);
});
